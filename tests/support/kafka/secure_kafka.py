"""An Apache Kafka that lets in who trusts its certificate and knows the password."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.kafka.apache_kafka import prepare
from tests.support.kafka.broker import Broker
from tests.support.kafka.ports import free_ports

USER, PASSWORD = "ann", "correct-horse"
SUBJECT = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")


@dataclass(frozen=True, slots=True)
class SecureBroker:
    """A broker with a listener for SASL over TLS beside the plain one.

    Attributes
    ----------
    broker : Broker
    bootstrap : str
        Address of the secure listener.
    certificate, other_certificate : Path
        The broker's, signed by itself, and one that is not its own.
    """

    broker: Broker
    bootstrap: str
    certificate: Path
    other_certificate: Path


def secure_broker(folder: Path) -> SecureBroker:
    """Return a broker in an empty folder, not yet started.

    Raises
    ------
    BrokerError
        When there is no Apache Kafka to be had.
    """
    port, controller_port, secure_port = free_ports(3)
    certificate, key = _certify(folder, "broker")
    other_certificate, _ = _certify(folder, "other")
    keystore = folder / "keystore.pem"
    keystore.write_text(key.read_text() + certificate.read_text())
    command = prepare(
        folder,
        port=port,
        controller_port=controller_port,
        more_lines=_lines(port, controller_port, secure_port, keystore),
        format_options=["--add-scram", f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"],
    )
    broker = Broker(f"127.0.0.1:{port}", True, tuple(command), folder / "broker.log")
    return SecureBroker(broker, f"127.0.0.1:{secure_port}", certificate, other_certificate)


def _lines(port: int, controller_port: int, secure_port: int, keystore: Path) -> str:
    """Return the properties of the secure listener."""
    mechanism = "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config"
    client_listeners = f"PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{secure_port}"
    listeners = f"{client_listeners},CONTROLLER://127.0.0.1:{controller_port}"
    return (
        f"listeners={listeners}\nadvertised.listeners={listeners}\n"
        "listener.security.protocol.map="
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL\n"
        f"ssl.keystore.type=PEM\nssl.keystore.location={keystore}\n"
        "sasl.enabled.mechanisms=SCRAM-SHA-512\n"
        f"{mechanism}=org.apache.kafka.common.security.scram.ScramLoginModule required;\n"
    )


def _certify(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a key and a certificate that it signs itself."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "2"]
    command = [*words, *SUBJECT, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key
