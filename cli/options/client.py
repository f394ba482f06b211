"""Options of the Kafka clients: TLS, SASL, and what is passed through."""

from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.options.parameters import ClientOptions
from echo_stream.cli.options.secrets import secret, warn_if_open
from echo_stream.cli.options.shared import option, together

if TYPE_CHECKING:
    from echo_stream.connectors.kafka.client_config import ClientConfig

_PATH = click.Path(path_type=Path)

_OPTIONS = {
    "security_protocol": option(
        "--security-protocol",
        type=click.Choice(["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]),
        default="PLAINTEXT", help="How brokers are talked to.",
    ),
    "ssl_cafile": option("--ssl-cafile", type=_PATH,
                         help="Certificates to trust (PEM); default: the system's."),
    "ssl_certfile": option("--ssl-certfile", type=_PATH,
                           help="Certificate of this client (PEM), where brokers ask for one."),
    "ssl_keyfile": option("--ssl-keyfile", type=_PATH,
                          help="Its key (PEM); default: in the same file."),
    "ssl_key_password_file": option(
        "--ssl-key-password-file", type=_PATH,
        help="File with the password of an encrypted key; or set ECHO_STREAM_SSL_KEY_PASSWORD.",
    ),
    "sasl_mechanism": option(
        "--sasl-mechanism", metavar="PLAIN|SCRAM-SHA-256|SCRAM-SHA-512|GSSAPI|AWS_MSK_IAM",
        help="How to log in with SASL.",
    ),
    "sasl_username": option("--sasl-username", help="User to log in as."),
    "sasl_password_file": option(
        "--sasl-password-file", type=_PATH,
        help="File with the user's password; or set ECHO_STREAM_SASL_PASSWORD.",
    ),
    "kafka": option(
        "--kafka", type=ClientOptions(), metavar="NAME=VALUE[,...]",
        help="Other options of the Kafka client, by its own names; in a file, the table [kafka].",
    ),
}  # fmt: skip


def client_options(command: Any) -> Any:
    """Add the options of the Kafka clients; the command gets them as `client`."""

    @wraps(command)
    def wrapped(**values: Any) -> Any:
        return command(client=_client({name: values.pop(name) for name in _OPTIONS}), **values)

    return together(*_OPTIONS.values())(wrapped)


def _client(values: dict[str, Any]) -> "ClientConfig":
    """Return the `ClientConfig` that the options and the variables of passwords make."""
    from echo_stream.connectors.kafka.client_config import ClientConfig  # noqa: PLC0415 - imports kafka

    for name in ("ssl_key_password", "sasl_password"):
        values[name] = secret(name, values.pop(f"{name}_file"))
    config = ClientConfig(options=values.pop("kafka") or {}, **values)
    if config.ssl_keyfile is not None:
        warn_if_open(config.ssl_keyfile)
    return config
