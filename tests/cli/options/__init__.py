"""Tests of cli, options."""
