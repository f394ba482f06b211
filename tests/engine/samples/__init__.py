"""Tests of engine, samples."""
