"""Pages, pictures and the README's table, of records: what all benchmarks of quality have found."""
