"""A server on a free port, and browsers that look at it."""
