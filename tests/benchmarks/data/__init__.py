"""Tests of the benchmarks' data sets."""
