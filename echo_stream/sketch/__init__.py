"""The sketch: exact sums of everything counted, its graph, and the samples that are held."""
