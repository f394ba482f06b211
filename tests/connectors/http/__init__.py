"""Tests of echo_stream.connectors.http."""
