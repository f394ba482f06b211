"""Tests of connectors, group."""
