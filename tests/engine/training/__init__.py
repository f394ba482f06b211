"""Tests of engine, training."""
