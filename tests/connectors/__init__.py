"""Tests of echo_stream.connectors."""
