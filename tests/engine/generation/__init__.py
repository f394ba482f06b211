"""Tests of engine, generation."""
