"""Runs that are killed, cut off or damaged, and what they make of it."""
