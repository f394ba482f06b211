"""Train and evaluate models on a coreset."""
