"""What is kept of the samples in each cell: bounded pools, the reservoir, and what is proven of them."""
