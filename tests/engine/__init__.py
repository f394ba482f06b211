"""Tests of the engine; the folders mirror its packages."""
