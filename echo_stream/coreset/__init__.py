"""The coreset: select samples of a sketch, and the snapshot that has them."""
