"""How samples are embedded, and which cell each is in: fixed for a generation."""
