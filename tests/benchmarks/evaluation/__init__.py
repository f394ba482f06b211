"""Tests of plans, trials and results."""
