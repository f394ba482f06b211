"""How samples are embedded and which cell they are in: fixed for a generation, found in its warm-up."""
