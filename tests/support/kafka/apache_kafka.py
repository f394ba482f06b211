"""What it takes to run Apache Kafka from its jars: find Java, fetch, configure, format.

One Java process is broker and controller (KRaft). Nothing is installed: Maven puts the jars that
``tests/kafka/pom.xml`` names into a cache folder, where later runs find them.
"""

import fcntl
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from tests import ROOT

POM = Path(__file__).parent / "pom.xml"
PROPERTIES = Path(__file__).parent / "server.properties"

OLDEST_JAVA = 17  # what Apache Kafka 4 asks for
CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"  # any 16 bytes in base64
# The first compiler alone and the simplest collector: a test broker lives for seconds or minutes.
JAVA_OPTIONS = (
    "-Xmx512m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)
MAVEN_LIMIT_S = 900  # 43 MB of jars over a slow line


class BrokerError(RuntimeError):
    """No broker can be had, or it did not start."""


def missing_programs() -> list[str]:
    """Return what this machine lacks for Apache Kafka, with the Debian package that brings it."""
    missing = []
    if _java_release() < OLDEST_JAVA:
        missing.append(f"Java {OLDEST_JAVA} or newer (Debian package default-jre-headless)")
    if shutil.which("mvn") is None:
        missing.append("Maven (Debian package maven)")
    return missing


def prepare(
    folder: Path,
    *,
    port: int,
    controller_port: int,
    more_lines: str = "",
    format_options: Sequence[str] = (),
) -> list[str]:
    """Write configuration and empty storage into a folder and return the command to run.

    Parameters
    ----------
    folder : Path
        Empty folder, for this broker alone.
    port, controller_port : int
        Free loopback ports.
    more_lines : str
        Properties that go before the usual ones.
    format_options : sequence of str
        Of the tool that formats the storage, such as users to add.

    Raises
    ------
    BrokerError
        When the jars cannot be fetched or the storage cannot be formatted.
    """
    properties = folder / "server.properties"
    properties.write_text(
        PROPERTIES.read_text() + _own_lines(folder, port, controller_port) + more_lines
    )
    java = ["java", *JAVA_OPTIONS, "-cp", f"{jars()}/*"]
    format_storage = ["kafka.tools.StorageTool", "format", "--standalone", "-t", CLUSTER_ID]
    _run([*java, *format_storage, "-c", str(properties), *format_options])
    return [*java, "kafka.Kafka", str(properties)]


def jars() -> Path:
    """Return the folder with the jars of Apache Kafka, fetched unless it is complete.

    Notes
    -----
    The folder is ``kafka-<version>`` inside ``$ECHO_STREAM_CACHE``, or inside ``.cache`` of the
    checkout. It is complete when it holds a copy of the pom, which is written last.
    """
    cache = Path(os.environ.get("ECHO_STREAM_CACHE") or ROOT / ".cache")
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache.absolute() / f"kafka-{_kafka_version()}"
    marker = folder / "complete.xml"
    with (cache / "kafka.lock").open("w") as lock:
        # Two test runs in one checkout may get here together; the lock goes with the file.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.is_file() or marker.read_bytes() != POM.read_bytes():
            shutil.rmtree(folder, ignore_errors=True)
            _fetch(folder)
            marker.write_bytes(POM.read_bytes())
    return folder


def _fetch(folder: Path) -> None:
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    _run(["mvn", "-B", "-q", "-f", str(POM), *goal])


def _own_lines(folder: Path, port: int, controller_port: int) -> str:
    """Return the properties that differ from broker to broker."""
    listeners = f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}"
    return (
        f"\nlisteners={listeners}\nadvertised.listeners={listeners}\n"
        f"controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}\n"
        f"log.dirs={folder / 'data'}\n"
    )


def _kafka_version() -> str:
    found = ET.parse(POM).findtext(".//{*}kafka.version")
    assert found is not None, "the pom has a kafka.version property"
    return found


def _java_release() -> int:
    """Return the number before the first dot of Java's version, 0 when there is no Java."""
    if shutil.which("java") is None:
        return 0
    answer = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', answer.stderr)
    return int(found[1]) if found else 0


def _run(command: Sequence[str]) -> None:
    """Run a command to its end; its output is shown only when it fails."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=MAVEN_LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        last_lines = "\n".join(done.stdout.splitlines()[-15:])
        message = f"{command[0]} failed with exit code {done.returncode}:\n{last_lines}"
        raise BrokerError(message)
