"""Tests of echo-stream; the folders mirror those of the package."""
