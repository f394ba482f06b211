"""Tests of encoders, and of payloads on their way through the engine."""
