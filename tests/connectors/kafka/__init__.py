"""Tests of connectors, kafka."""
