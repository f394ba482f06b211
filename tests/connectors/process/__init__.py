"""Tests of connectors, process."""
