"""Which samples of each cell are retained: bounded pools, and what is proven of them."""
