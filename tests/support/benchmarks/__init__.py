"""Small data, plans and results for the tests of benchmarks."""
