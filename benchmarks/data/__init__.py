"""Data sets of the benchmarks by name, in the formats of their authors and of packages.

Nothing is downloaded: `load` looks for the files in the folders that it is given, verifies
that their content is the authors', and says how to get what is missing. Where no checksum is
known, as of an npz of CIFAR-100 or SVHN, or can be, as of embeddings made anew, it compares what
it can, and says so on stderr. A name may end in `-lt`, a long-tailed training set, and in
`@valid`, a validation part in the test set's place.
"""

from benchmarks.data.dataset import DataSet
from benchmarks.data.loading import NAMES, load

__all__ = ["NAMES", "DataSet", "load"]
