"""Tests of cli, commands."""
