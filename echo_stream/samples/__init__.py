"""Samples: what a stream brings, how it is checked, and what a batch of it holds."""
