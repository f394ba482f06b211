"""Tests of engine, sketch."""
