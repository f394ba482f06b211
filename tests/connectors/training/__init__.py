"""Tests of connectors, training."""
