"""Finds the loader of a data set by its name, and applies the name's suffixes."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.data.archives import load_table
from benchmarks.data.banking import load_banking
from benchmarks.data.cifar import load_cifar
from benchmarks.data.dataset import DataSet
from benchmarks.data.digits import load_digits
from benchmarks.data.files import Finder
from benchmarks.data.idx import load_idx
from benchmarks.data.svhn import load_svhn
from benchmarks.data.variants import long_tailed, validated
from echo_stream.errors import ConfigError

LOADERS: dict[str, Callable[[str, Finder], DataSet]] = {
    "mnist": load_idx,
    "fashion-mnist": load_idx,
    "cifar10": load_cifar,
    "cifar100": load_cifar,
    "svhn": load_svhn,
    "banking77": load_banking,
    "covertype": load_table,
    "smtp": load_table,
    "skin": load_table,
    "digits": load_digits,
}
NAMES = tuple(LOADERS)


def load(name: str, folders: Sequence[Path]) -> DataSet:
    """Return a data set by its name.

    Parameters
    ----------
    name : str
        One of `NAMES`. With `-lt` the training set is long-tailed, see
        `benchmarks.data.variants.long_tailed`; with `@valid` behind that, a part of the
        training set takes the place of the test set, see `validated`. It is held out first, so
        that it has the classes in the shares that the test set has them in.
    folders : sequence of Path
        Where its files may be.

    Raises
    ------
    ConfigError
        If there is no such data set.
    SourceError
        If its files are not there, or are others, saying how to get them.

    Examples
    --------
    >>> data = load("digits-lt@valid", [])
    >>> data.name, data.x_test.shape
    ('digits-lt@valid', (287, 64))
    """
    parts = re.fullmatch(r"(.+?)(-lt)?(@valid)?", name)
    if parts is None or parts[1] not in LOADERS:
        msg = f"there is no data set {name!r}; the names are {', '.join(NAMES)}, -lt and @valid"
        raise ConfigError(msg)
    base, tail, valid = parts.groups()
    data = LOADERS[base](base, Finder(folders))
    if valid:
        data = validated(data)
    if tail:
        data = long_tailed(data)
    return replace(data, name=name)
