"""Tests of connectors, storage."""
