"""Selectors by name: what a coreset is measured against, and the coreset itself.

`select` sees the whole training set; `stream_select` sees it once, in an order. Both give
as many distinct rows as the budget asks for (and those of the support beside it), or all where
there are fewer; GDumb gives fewer where a class does not fill its share. Those that measure
distances do it in one space for all, see `benchmarks.selectors.spaces`; options are the plan's,
those of each are in its docstring.
"""

from benchmarks.selectors.chosen import Chosen
from benchmarks.selectors.named import BATCH, STREAM, select, stream_select

__all__ = ["BATCH", "STREAM", "Chosen", "select", "stream_select"]
