"""Options of the Kafka clients: TLS, SASL, and what is passed through."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echo_stream.cli.options.environment import secret, warn_if_open
from echo_stream.cli.options.parameters import CLIENT_OPTIONS
from echo_stream.cli.options.shared import gathered, option

if TYPE_CHECKING:
    from echo_stream.connectors.kafka.client_config import ClientConfig

_PATH = click.Path(path_type=Path)


def _client(
    *,
    ssl_key_password_file: Path | None,
    sasl_password_file: Path | None,
    kafka: dict[str, Any] | None,
    **others: Any,
) -> "ClientConfig":
    """Return what the options and the variables of passwords say."""
    from echo_stream.connectors.kafka.client_config import ClientConfig

    config = ClientConfig(
        ssl_key_password=secret("ssl_key_password", ssl_key_password_file),
        sasl_password=secret("sasl_password", sasl_password_file),
        options=kafka or {},
        **others,
    )
    if config.ssl_keyfile is not None:
        warn_if_open(config.ssl_keyfile)
    return config


client_options = gathered(
    "client", _client,
    option("--security-protocol",
           type=click.Choice(["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]),
           default="PLAINTEXT", help="Protocol of the connections to brokers."),
    option("--ssl-cafile", type=_PATH,
           help="Certificates to trust (PEM). Default: those of the system."),
    option("--ssl-certfile", type=_PATH,
           help="Certificate of this client (PEM), if brokers ask for one."),
    option("--ssl-keyfile", type=_PATH,
           help="Key of the certificate (PEM). Default: in --ssl-certfile."),
    option("--ssl-key-password-file", type=_PATH,
           help="File with the password of an encrypted key. Or set ECHO_STREAM_SSL_KEY_PASSWORD."),
    option("--sasl-mechanism",
           type=click.Choice(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "AWS_MSK_IAM"]),
           help="SASL mechanism to log in with."),
    option("--sasl-username", help="User to log in as."),
    option("--sasl-password-file", type=_PATH,
           help="File with the password of the user. Or set ECHO_STREAM_SASL_PASSWORD."),
    option("--kafka", type=CLIENT_OPTIONS, metavar="NAME=VALUE[,...]",
           help="Other options of the Kafka client, by its own names. In a settings file: the "
                "table [kafka]."),
)  # fmt: skip
