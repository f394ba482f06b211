"""Encoders: what makes vectors of payloads such as text, once for each sample."""
