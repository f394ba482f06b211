"""Bounded pools of the retained samples of each cell, with certificates."""
