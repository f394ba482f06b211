"""Generations: how samples are embedded and assigned to cells, trained once."""
