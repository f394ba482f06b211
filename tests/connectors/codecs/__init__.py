"""Tests of connectors, codecs."""
