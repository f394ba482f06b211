"""The label as a part of a cell: each class has cells of its own.

A class is known by a number that its label alone decides, so that neither the order of
arrival nor a merge changes which cell a sample is in.
"""

import hashlib
from collections.abc import Set as AbstractSet

import numpy as np

from echo_stream._common.typing import Cell, IntArray, Label
from echo_stream.errors import DataError
from echo_stream.generation.codebook import CODEWORDS_OF_CLASS
from echo_stream.generation.quantiser import MAX_CELLS
from echo_stream.samples.samples import Samples, label_of

MAX_CLASSES = MAX_CELLS // CODEWORDS_OF_CLASS
_NAMED = 2**30  # numbers of other labels begin here


def _class_number(label: Label) -> int:
    """Return the number of the class of a label, from 0 up to 2^31 - 1.

    0 without a label; one more than a label that is a whole number below 2^30; beyond that
    a hash of 30 bits. Labels that share one share a class.

    Examples
    --------
    >>> _class_number(None), _class_number(7), _class_number(7.0), _class_number("cat") > _NAMED
    (0, 8, 8, True)
    """
    if label is None:
        return 0
    is_whole = isinstance(label, int) or (isinstance(label, float) and label.is_integer())
    if is_whole and 0 <= int(label) < _NAMED - 1:
        return int(label) + 1
    digest = hashlib.blake2b(repr(label).encode(), digest_size=8).digest()
    return _NAMED + int.from_bytes(digest, "big") % _NAMED


def class_numbers(samples: Samples) -> IntArray:
    """Return the class of each sample by the label that it came with, of shape (n,), int64.

    A label that came late moves no sample: a source that is read again does not have it.
    """
    labels = samples.labels if samples.sent_labels is None else samples.sent_labels
    if labels is None:
        return np.zeros(len(samples), dtype=np.int64)
    known = [label_of(label) for label in labels.tolist()]
    numbers = {label: _class_number(label) for label in set(known)}
    return np.array([numbers[label] for label in known], dtype=np.int64)


def class_cell(key: int, num_codewords: int) -> Cell:
    """Return the index of a class's cell: the label, and the number of the codeword.

    -1 stands for no label; 2^30 and a hash for a label that is not a small whole number.

    Examples
    --------
    >>> class_cell(8 * 50 + 3, 50), class_cell(3, 50)
    ((7, 3), (-1, 3))
    """
    number, codeword = divmod(key, num_codewords)
    return number - 1, codeword


def check_number(classes: AbstractSet[int]) -> None:
    """Refuse too many classes.

    Raises
    ------
    DataError
        If there are more than `MAX_CLASSES`.
    """
    if len(classes) > MAX_CLASSES:
        msg = (
            f"balance class allows for {MAX_CLASSES} different labels; got {len(classes)}; "
            "set balance to none, or send coarser labels"
        )
        raise DataError(msg)
