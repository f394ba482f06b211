"""How clients connect: what contradicts itself is refused early, and no secret is ever shown."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from echo_stream.connectors.kafka.client_config import REFUSED, ClientConfig, check_options
from echo_stream.errors import ConfigError

SECRET = "correct-horse"
LOGIN: dict[str, Any] = {
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "ann",
    "sasl_password": SECRET,
}


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a certificate and its key, which SECRET encrypts."""
    folder = tmp_path_factory.mktemp("pem")
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2"
    names = ["-subj", "/CN=ann", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(
        [*words.split(), *names, "-passout", f"pass:{SECRET}"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_every_client_gets_the_login() -> None:
    """The client's own names, whichever client it is."""
    for client in (KafkaConsumer, KafkaProducer, KafkaAdminClient):
        options = ClientConfig(**LOGIN).for_client(client, "a:1, b:2")
        assert options["bootstrap_servers"] == ["a:1", "b:2"]
        assert options["security_protocol"] == "SASL_SSL"
        assert options["sasl_plain_password"] == SECRET
        assert set(options) <= set(client.DEFAULT_CONFIG)


def test_passed_options_go_to_the_clients_that_know_them() -> None:
    """They go before what we tune, and never before the login."""
    config = ClientConfig(options={"fetch_max_bytes": 7, "linger_ms": 3, "request_timeout_ms": 9})
    consumer = config.for_client(KafkaConsumer, "a:1", fetch_max_bytes=1)
    producer = config.for_client(KafkaProducer, "a:1", linger_ms=20)
    assert (consumer["fetch_max_bytes"], producer["linger_ms"]) == (7, 3)
    assert "linger_ms" not in consumer
    assert "fetch_max_bytes" not in producer
    assert {each["request_timeout_ms"] for each in (consumer, producer)} == {9}


def test_passwords_are_in_no_repr() -> None:
    """What is logged or shown by a debugger holds no secret."""
    config = ClientConfig(**LOGIN, options={"proxy_url": f"socks5://ann:{SECRET}@host:1"})
    assert "ann" in repr(config)
    assert SECRET not in repr(config) + str(config)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"security_protocol": "TLS"}, "security_protocol must be one of .* got 'TLS'"),
        ({**LOGIN, "security_protocol": "SSL"}, "security_protocol must be SASL_SSL"),
        ({**LOGIN, "sasl_mechanism": None}, "sasl_mechanism must be one of .* got None"),
        ({**LOGIN, "sasl_mechanism": "OAUTHBEARER"}, "sasl_mechanism must be one of"),
        ({**LOGIN, "sasl_password": None}, "SCRAM-SHA-512 needs a user and a password"),
        ({**LOGIN, "sasl_username": None}, "SCRAM-SHA-512 needs a user and a password"),
        ({"ssl_cafile": Path("ca.pem")}, "security_protocol must be SSL or SASL_SSL"),
        ({**LOGIN, "ssl_keyfile": Path("key.pem")}, "needs the certificate"),
        ({**LOGIN, "ssl_cafile": Path("none.pem")}, "ssl_cafile none.pem .* No such file"),
        ({**LOGIN, "ssl_cafile": Path(__file__)}, "ssl_cafile .* cannot be used: .*PEM format"),
    ],
)
def test_contradictions_are_refused(settings: dict[str, Any], words: str) -> None:
    """Before a broker is asked, and without the password."""
    with pytest.raises(ConfigError, match=words) as caught:
        ClientConfig(**settings)
    assert SECRET not in str(caught.value)


def test_encrypted_key(encrypted: Path) -> None:
    """Opens with its password; without it or with another one nobody is asked at the terminal."""
    files: dict[str, Any] = {
        "security_protocol": "SSL",
        "ssl_certfile": encrypted / "cert.pem",
        "ssl_keyfile": encrypted / "key.pem",
    }
    options = ClientConfig(**files, ssl_key_password=SECRET).for_client(KafkaConsumer, "a:1")
    assert (options["ssl_keyfile"], options["ssl_password"]) == (
        str(encrypted / "key.pem"),
        SECRET,
    )
    for password in (None, "wrong"):
        with pytest.raises(ConfigError, match="an encrypted key needs ECHO_STREAM_SSL_KEY_PASSWO"):
            ClientConfig(**files, ssl_key_password=password)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_options_that_would_break_us_are_refused(name: str) -> None:
    """With the reason, and without the value, which may be a password."""
    with pytest.raises(ConfigError, match=f"'{name}' cannot be passed through: .+") as caught:
        check_options({name: SECRET})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"fetch.max.bytes": 1}, "no option 'fetch.max.bytes'; did you mean 'fetch_max_bytes'"),
        ({"nonsense": 1}, "no option 'nonsense'"),
        ({"fetch_max_bytes": "1"}, "'fetch_max_bytes' must be int or float; got str"),
        ({"ssl_check_hostname": 0}, "'ssl_check_hostname' must be bool; got int"),
        ({"client_rack": ["a"]}, "'client_rack' must be str; got list"),
    ],
)
def test_options_are_checked_against_the_client(option: dict[str, Any], words: str) -> None:
    """A name that it has not, or a value of another type."""
    with pytest.raises(ConfigError, match=words):
        check_options(option)
