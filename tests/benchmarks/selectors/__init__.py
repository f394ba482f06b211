"""Tests of the selectors that a coreset is compared with."""
