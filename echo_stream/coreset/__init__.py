"""The coreset: which samples a sketch's choice takes, and the snapshot that holds them."""
