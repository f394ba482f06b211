"""Which samples of each cell are held: bounded pools, and what is proven of them."""
