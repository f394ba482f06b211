"""What is published of the image sets, by which arrays of any writer are verified.

Of three sets the arrays have been read from files with the authors' checksums, and their own
checksums are kept here. Of CIFAR-100 and SVHN no data were at hand to take any from: all that can
be compared is how many samples of each class there are, of which CIFAR-100's authors say the
number, and SVHN's the sums, 73,257 and 26,032; by class others have counted these.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from echo_stream._common.typing import Array


class Published(NamedTuple):
    """What the arrays of a set must be.

    Attributes
    ----------
    shape : tuple of int
        Of an image, as the loaders give it.
    model : {"lenet", "resnet18"}
        What is trained on it.
    digests : dict
        SHA-256 by array of its bytes as uint8, (n, *shape) or (n,); empty where it is not known.
    counts : dict
        Samples of class 0, 1, ... by array of labels; only where there are no digests.
    zero : int
        A label that stands for class 0.
    """

    shape: tuple[int, ...]
    model: str
    digests: Mapping[str, str] = {}
    counts: Mapping[str, tuple[int, ...]] = {}
    zero: int = 0


PUBLISHED = {
    "mnist": Published(
        (28, 28),
        "lenet",
        {
            "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
            "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
            "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
            "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
        },
    ),
    "fashion-mnist": Published(
        (28, 28),
        "lenet",
        {
            "x_train": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
            "y_train": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
            "x_test": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
            "y_test": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
        },
    ),
    "cifar10": Published(
        (3, 32, 32),
        "resnet18",
        {
            "x_train": "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111",
            "y_train": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
            "x_test": "177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56",
            "y_test": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
        },
    ),
    "cifar100": Published(
        (3, 32, 32), "resnet18", counts={"y_train": (500,) * 100, "y_test": (100,) * 100}
    ),
    "svhn": Published(
        (3, 32, 32),
        "resnet18",
        counts={
            "y_train": (4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659),
            "y_test": (1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595),
        },
        zero=10,
    ),
}


def has_published_size(name: str, array: str, values: Array) -> bool:
    """Return whether images are as many as is published, and labels as many of each class.

    Parameters
    ----------
    name : str
        Of a set in `PUBLISHED` that has counts.
    array : {"x_train", "y_train", "x_test", "y_test"}
    values : ndarray of shape (n, ...), integer
        Labels are not negative.
    """
    counts = PUBLISHED[name].counts[array.replace("x_", "y_")]
    if array.startswith("x_"):
        return len(values) == sum(counts)
    return tuple(np.bincount(values).tolist()) == counts
