"""Tests of engine, coreset."""
