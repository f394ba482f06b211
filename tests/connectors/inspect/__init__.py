"""Tests of connectors, inspect."""
