"""Processes that die, and what a power cut leaves."""
