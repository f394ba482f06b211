"""Tests of cli, train."""
