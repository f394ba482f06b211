"""How every Kafka client of ours connects: TLS, SASL, and options of the client itself."""

import difflib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from echo_stream._common.checks import check_choice
from echo_stream.connectors.kafka.client import COMMON_OPTIONS
from echo_stream.errors import ConfigError, SettingName

_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_PASSWORD_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_MECHANISMS = (*_PASSWORD_MECHANISMS, "GSSAPI", "AWS_MSK_IAM")

Client = type[KafkaAdminClient] | type[KafkaConsumer] | type[KafkaProducer]
_CLIENTS: tuple[Client, ...] = (KafkaConsumer, KafkaProducer, KafkaAdminClient)
_DEFAULTS: dict[str, Any] = {
    name: value for client in _CLIENTS for name, value in client.DEFAULT_CONFIG.items()
}

_CHECKPOINTED = "offsets are those of the checkpoints"
_BYTES = "messages are read and written as bytes, and decoded by us"
_SAFE = "a message that was acknowledged must not be lost, nor be there twice"
_CODE = "it takes an object, and no code comes from a settings file"
_OTHERWISE = "it has an option of its own"
REFUSED: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        ("enable_auto_commit", "auto_commit_interval_ms", "auto_offset_reset", "group_id",
         "max_poll_records", "consumer_timeout_ms", "isolation_level", "check_crcs"),
        _CHECKPOINTED,
    )
    | dict.fromkeys(
        ("key_deserializer", "value_deserializer", "key_serializer", "value_serializer"), _BYTES
    )
    | dict.fromkeys(
        ("acks", "enable_idempotence", "retries", "delivery_timeout_ms", "transactional_id",
         "transaction_timeout_ms", "max_block_ms"),
        _SAFE,
    )
    | dict.fromkeys(
        ("kafka_client", "selector", "metric_reporters", "socket_options", "ssl_context",
         "sasl_oauth_token_provider", "default_offset_commit_callback", "partitioner",
         "partition_assignment_strategy", "api_version"),
        _CODE,
    )
    | dict.fromkeys(
        ("bootstrap_servers", "security_protocol", "ssl_cafile", "ssl_certfile", "ssl_keyfile",
         "sasl_mechanism"),
        _OTHERWISE,
    )
    | {
        "allow_auto_create_topics": "a misspelt topic must be an error, not a new topic",
        "sasl_plain_username": "give sasl_username",
        "sasl_plain_password": "a password comes from its variable or a file only",
        "ssl_password": "a password comes from its variable or a file only",
    }
)  # fmt: skip
"""Options of the client that are not passed through, with the reason."""


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """What all clients need to be let in by the brokers. Passwords are in no repr.

    Attributes
    ----------
    security_protocol : {"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}
    ssl_cafile : Path or None
        Certificates to trust, PEM; None: those of the system.
    ssl_certfile, ssl_keyfile : Path or None
        Certificate and key of this client, PEM, where brokers ask for one.
    ssl_key_password : str or None
        Of an encrypted key.
    sasl_mechanism : str or None
        PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, GSSAPI or AWS_MSK_IAM.
    sasl_username, sasl_password : str or None
    options : mapping of str to (bool, int, float or str)
        Other options of the client, by its own names; each client gets those it knows.

    Raises
    ------
    ConfigError
        If settings contradict each other, a file cannot be used, or an option is none of the
        client's or would break what a state promises. No message holds a password.

    Examples
    --------
    >>> ClientConfig(options={"fetch_max_byte": 1})
    Traceback (most recent call last):
    ...
    echo_stream.errors.ConfigError: the Kafka client has no option 'fetch_max_byte'; did you mean \
'fetch_max_bytes'?
    """

    security_protocol: str = "PLAINTEXT"
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_key_password: str | None = field(default=None, repr=False)
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Refuse what no broker would accept, before one is asked."""
        check_options(self.options)
        check_choice("security_protocol", self.security_protocol, _PROTOCOLS)
        self._check_sasl()
        self._check_tls()

    def for_client(self, client: Client, servers: str, **ours: Any) -> dict[str, Any]:
        """Return the options of a client: ours, then those passed through, then the security's.

        Parameters
        ----------
        client : class
            Of kafka-python.
        servers : str
            Comma-separated HOST:PORT.
        ours
            What the caller sets; what may be passed through goes before that.
        """
        known = client.DEFAULT_CONFIG
        passed = {name: value for name, value in self.options.items() if name in known}
        addresses = [server.strip() for server in servers.split(",")]
        return {
            **COMMON_OPTIONS, **ours, **passed, **self._security(), "bootstrap_servers": addresses
        }  # fmt: skip

    def _security(self) -> dict[str, Any]:
        """Return the options of TLS and SASL by the client's names."""
        files = {
            name: None if path is None else str(path)
            for name, path in (
                ("ssl_cafile", self.ssl_cafile),
                ("ssl_certfile", self.ssl_certfile),
                ("ssl_keyfile", self.ssl_keyfile),
            )
        }
        return {
            "security_protocol": self.security_protocol,
            **files,
            "ssl_password": self.ssl_key_password,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
        }

    def _check_sasl(self) -> None:
        """Refuse half a login."""
        uses_sasl, mechanism = self.security_protocol.startswith("SASL"), self.sasl_mechanism
        if not uses_sasl and (mechanism or self.sasl_username or self.sasl_password):
            msg = "a SASL login is given, but "
            raise ConfigError(
                msg,
                SettingName("security_protocol"),
                " must be SASL_SSL (or SASL_PLAINTEXT) to send it; got ",
                self.security_protocol,
            )
        if uses_sasl:
            check_choice("sasl_mechanism", mechanism, _MECHANISMS)
        if mechanism in _PASSWORD_MECHANISMS and not (self.sasl_username and self.sasl_password):
            msg = f"{mechanism} needs a user and a password: give "
            raise ConfigError(
                msg,
                SettingName("sasl_username"),
                ", and the password as ECHO_STREAM_SASL_PASSWORD or in ",
                SettingName("sasl_password_file"),
            )

    def _check_tls(self) -> None:
        """Refuse certificates without a protocol that uses them, or that cannot be used."""
        if self.ssl_cafile is self.ssl_certfile is self.ssl_keyfile is None:
            return
        if not self.security_protocol.endswith("SSL"):
            msg = "certificates are given, but "
            raise ConfigError(
                msg,
                SettingName("security_protocol"),
                f" must be SSL or SASL_SSL to use them; got {self.security_protocol}",
            )
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            raise ConfigError(
                SettingName("ssl_keyfile"),
                f" {self.ssl_keyfile} needs the certificate: give ",
                SettingName("ssl_certfile"),
            )
        if self.ssl_cafile is not None:
            _check_authorities(self.ssl_cafile)
        if self.ssl_certfile is not None:
            _check_pair(self.ssl_certfile, self.ssl_keyfile, self.ssl_key_password)


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse options to pass through that the client does not have, or that would break us.

    Raises
    ------
    ConfigError
        Naming the option, never its value where that may be a secret.
    """
    for name, value in options.items():
        if name not in _DEFAULTS:
            close = difflib.get_close_matches(
                name.replace(".", "_").lower(), sorted(_DEFAULTS), n=1
            )
            hint = f"did you mean {close[0]!r}?" if close else "its documentation lists them"
            msg = f"the Kafka client has no option {name!r}; {hint}"
            raise ConfigError(msg)
        if name in REFUSED:
            msg = f"the Kafka client's option {name!r} cannot be passed through: {REFUSED[name]}"
            raise ConfigError(msg)
        _check_kind(name, value)


def _check_kind(name: str, value: object) -> None:
    """Refuse a value of another type than the client's default."""
    default = _DEFAULTS[name]
    kinds: tuple[type, ...] = (bool, int, float, str)
    if default is not None:
        kinds = (int, float) if type(default) in (int, float) else (type(default),)
    if type(value) not in kinds:
        needed = " or ".join(kind.__name__ for kind in kinds)
        msg = f"the Kafka client's option {name!r} must be {needed}; got {type(value).__name__}"
        raise ConfigError(msg)


def _check_authorities(path: Path) -> None:
    """Refuse a file without certificates."""
    try:
        ssl.create_default_context(cafile=str(path))
    except OSError as err:  # ssl.SSLError is one
        raise _unusable(path, err, setting="ssl_cafile") from err


def _check_pair(certificate: Path, key: Path | None, password: str | None) -> None:
    """Refuse a certificate and key that do not belong together, or cannot be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(str(certificate), key and str(key), password=password or "")
    except OSError as err:
        name = "ssl_certfile" if key is None else "ssl_keyfile"
        raise ConfigError(
            *_unusable(key or certificate, err, setting=name).parts,
            "; an encrypted key needs ECHO_STREAM_SSL_KEY_PASSWORD or ",
            SettingName("ssl_key_password_file"),
        ) from err


def _unusable(path: Path, err: OSError, *, setting: str) -> ConfigError:
    """Return the error for a file that OpenSSL refuses."""
    reason = (err.strerror or str(err)).splitlines()[0]
    words = f" {path} cannot be used: {reason}; give a file in PEM format"
    return ConfigError(SettingName(setting), words)
