"""Bounded pools of the held samples of each cell, with certificates."""
