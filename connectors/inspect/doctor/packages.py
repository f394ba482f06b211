"""Python packages: those that are too old or too new, and those that others need."""

from collections.abc import Iterator
from importlib.metadata import requires, version

from kafka import codec
from packaging.requirements import Requirement

from echo_stream.connectors.inspect.doctor.finding import Finding

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
