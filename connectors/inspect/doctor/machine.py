"""The machine: Python packages, the device of torch, and files of secrets."""

from collections.abc import Iterable, Iterator
from importlib.metadata import requires, version
from pathlib import Path

import torch
from kafka import codec
from packaging.requirements import Requirement

from echo_stream._common.device import resolve_device
from echo_stream.connectors.inspect.doctor.finding import Finding
from echo_stream.connectors.process.tuning import usable_cores
from echo_stream.connectors.storage.durable import open_to
from echo_stream.errors import ConfigError

CODECS = {"gzip": codec.has_gzip, "lz4": codec.has_lz4, "snappy": codec.has_snappy,
          "zstd": codec.has_zstd}  # fmt: skip


def check_packages() -> Iterator[Finding]:
    """Look at the Kafka client, and at what makes it quick and able to decompress."""
    yield _client()
    yield _checksums()
    yield _compression()


def _client() -> Finding:
    """Compare the client's version with what we are built for."""
    needed = next(
        each
        for each in map(Requirement, requires("echo-stream") or ())
        if each.name == "kafka-python"
    )
    found = version("kafka-python")
    if needed.specifier.contains(found, prereleases=True):
        return Finding("kafka-python", "ok", found)
    advice = f"pip install 'kafka-python{needed.specifier}'"
    return Finding("kafka-python", "fail", f"{found}, but {needed.specifier} is needed", advice)


def _checksums() -> Finding:
    """Look for a compiled crc32c: without it every message is summed up in Python."""
    try:
        return Finding("crc32c", "ok", version("crc32c"))
    except ModuleNotFoundError:
        found = "checksums are computed in Python, about ten times slower"
        return Finding("crc32c", "warn", found, "pip install crc32c")


def _compression() -> Finding:
    """Look for what decompresses messages."""
    missing = [name for name, is_there in CODECS.items() if not is_there()]
    if not missing:
        return Finding("compression", "ok", ", ".join(CODECS))
    found = f"topics compressed with {' or '.join(missing)} cannot be read"
    return Finding("compression", "warn", found, f"pip install 'kafka-python[{','.join(missing)}]'")


def check_device(name: str) -> Iterator[Finding]:
    """Look at the device of a name, and at torch's threads."""
    try:
        device = resolve_device(name)
    except ConfigError as err:
        yield Finding("device", "fail", str(err), "give --device cpu, or auto")
    else:
        yield Finding("device", "ok", f"{device}, torch {torch.__version__}")
    yield _threads()


def _threads() -> Finding:
    """Compare torch's threads with the cores that this process may use."""
    threads, cores = torch.get_num_threads(), usable_cores()
    found = f"{threads} of torch on {cores:g} cores"
    if threads <= max(cores, 1):
        return Finding("threads", "ok", found)
    advice = f"set OMP_NUM_THREADS={max(int(cores), 1)}: threads that wait for each other are slow"
    return Finding("threads", "warn", found, advice)


def check_secret_files(paths: Iterable[Path]) -> Iterator[Finding]:
    """Look who may read or write files that hold secrets; nothing where there are none."""
    found, is_missing, files = [], False, list(paths)
    for path in files:
        try:
            who = open_to(path)
        except OSError as err:
            found.append(f"{path} cannot be read: {err.strerror}")
            is_missing = True
        else:
            found += [] if who is None else [f"{path} {who}"]
    if found:
        advice = "write it, and chmod 600" if is_missing else "chmod 600, and change what was read"
        yield Finding("secrets", "fail" if is_missing else "warn", "; ".join(found), advice)
    elif files:
        yield Finding("secrets", "ok", f"{len(files)} files are only readable by the current user")
