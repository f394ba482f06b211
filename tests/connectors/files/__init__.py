"""Tests of connectors, files."""
