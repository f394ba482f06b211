"""Tests of engine, engine."""
