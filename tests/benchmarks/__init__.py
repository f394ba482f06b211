"""Tests of the benchmarks' own parts: data sets, selectors."""
