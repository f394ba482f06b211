"""Scripts behind every published number: each has a main(), a seed and JSON out."""
