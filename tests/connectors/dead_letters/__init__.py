"""Tests of connectors, dead_letters."""
