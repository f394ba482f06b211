"""Tests of cli, run."""
