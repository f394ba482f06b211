"""Tests of connectors, kafka, isolated."""
