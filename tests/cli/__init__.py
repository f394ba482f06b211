"""Tests of echo_stream.cli."""
