"""Options that say which field of a message, or column of a table, is what."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from echo_stream.cli.options.shared import find_local_modules, gathered, option

if TYPE_CHECKING:
    from echo_stream.config import EngineConfig
    from echo_stream.connectors.codecs import CodecConfig
    from echo_stream.connectors.files.tables import FileColumns
    from echo_stream.encoders.encoder import Encoder


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Names of fields and columns; None: those that are usual."""

    payload_field: str | None
    vector_field: str
    label_field: str | None
    id_field: str | None

    def codec(self, config: "CodecConfig", engine_config: "EngineConfig") -> "CodecConfig":
        """Return how messages are decoded, with these fields and the limits of an engine."""
        return replace(
            config,
            is_encoded=engine_config.encoder is not None,
            payload_field=self.payload_field,
            vector_field=self.vector_field,
            label_field=self.label_field,
            id_field=self.id_field,
            **engine_config.limits._asdict(),
        )

    def columns(self, encoder: "Encoder | None") -> "FileColumns":
        """Return which columns of a file are read.

        Raises
        ------
        UsageError
            If there is an encoder, and no column of payloads.
        """
        if encoder is not None and self.payload_field is None:
            msg = "give --payload-field, the column that --encoder makes vectors of"
            raise click.UsageError(msg)
        from echo_stream.connectors.files.columns import ColumnNames
        from echo_stream.connectors.files.tables import FileColumns

        names = (self.vector_field, self.payload_field, self.label_field, self.id_field)
        return FileColumns(ColumnNames(*names), encoder)

    def arguments(self, encoder: str | None) -> list[str]:
        """Return the options that give the same fields and encoder to another command."""
        given = {
            "--encoder": encoder,
            "--payload-field": self.payload_field,
            "--vector-field": self.vector_field,
            "--label-field": self.label_field,
            "--id-field": self.id_field,
        }
        return [word for name, value in given.items() if value for word in (name, value)]


fields_options = gathered(
    "fields", Fields,
    option("--payload-field", metavar="NAME",
           help="Field of JSON messages, or column of a table, with the text to keep, of which "
                "--encoder makes a vector. Default with --encoder: the whole message."),
    option("--vector-field", metavar="NAME", default="x",
           help="Field of JSON messages, or column of a table, with the vector, where there is no "
                "--encoder."),
    option("--label-field", metavar="NAME",
           help="Field of JSON messages, or column of a table, with the label. Default: label or "
                "y."),
    option("--id-field", metavar="NAME",
           help="Field of JSON messages, or column of a table, with the id. Default: id."),
)  # fmt: skip

encoder_option = option(
    "--encoder", metavar="sentence-transformers:FOLDER|MODULE:ATTRIBUTE",
    callback=find_local_modules,
    help="What makes vectors of texts: a model in a folder, or a function of a list of texts. "
         "Texts are stored as they arrive.",
)  # fmt: skip


def loaded(spec: str | None, device: str) -> "Encoder | None":
    """Return the encoder of --encoder."""
    if spec is None:
        return None
    from echo_stream.encoders.loading import load_encoder

    return load_encoder(spec, device=device)
