"""Tests of engine, run."""
