"""Log lines on stderr: as text for people, or as JSON for programs."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

import click

from echo_stream.cli.options.shared import option, together
from echo_stream.cli.output.printable import printable, printable_json

STATUS_LOGGER = "echo_stream.status"  # the line a minute, which is there unless told otherwise
_LEVELS = ("debug", "info", "warning", "error")
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "taskName",
    "color_message",  # uvicorn's, with the codes of a terminal
}  # fmt: skip

log_options = together(
    option("--log-level", type=click.Choice(_LEVELS), show_default=False,
           help="Lowest level to log. Default: warnings, and a status line every minute if stderr "
                "is not a terminal. The Kafka client logs warnings, and with debug everything."),
    option("--log-format", type=click.Choice(["text", "json"]), default="text",
           help="Format of the log: text for people, json for programs, one object per line."),
)  # fmt: skip


def use_logs(level: str | None, log_format: str = "text", *, is_verbose: bool = False) -> None:
    """Send the log to stderr, unless a program that embeds us sends it elsewhere.

    Parameters
    ----------
    level : str or None
        One of LEVELS; None: warnings of ours, none of the Kafka client.
    log_format : {"text", "json"}
    is_verbose : bool
        -v: from info on, the Kafka client's lines too.
    """
    root = logging.getLogger()
    handlers = [each for each in root.handlers if isinstance(each, _StderrHandler)]
    if root.handlers and not handlers:
        return
    handler = handlers[0] if handlers else _StderrHandler()
    root.handlers[:] = [handler]
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    number = logging.getLevelNamesMapping()[(level or "warning").upper()]
    root.setLevel(min(number, logging.INFO) if is_verbose else number)
    handler.filters[:] = [_Filter(level, is_verbose=is_verbose)]


def write_as_line(words: str, level: int) -> bool:
    """Write words as a line of the log, whatever its level, where that is JSON; else do nothing.

    Returns whether they have been written: a log of objects has no other lines.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, _JsonFormatter):
            about = {"name": "echo_stream.cli", "msg": words, "levelno": level}
            name = logging.getLevelName(level)
            handler.emit(logging.makeLogRecord({**about, "levelname": name}))
            return True
    return False


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Write to what stderr is at the moment: a display on a terminal may have taken it over."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # the base keeps one for good
        """Where lines go."""
        return sys.stderr


class _Filter:
    """Which lines pass, beside the level: those of the Kafka client are many in an outage."""

    def __init__(self, level: str | None, *, is_verbose: bool) -> None:
        self._hides_client = level is None and not is_verbose
        self._client_level = logging.NOTSET if is_verbose or level == "debug" else logging.WARNING
        names = logging.getLevelNamesMapping()
        self._status_level = logging.INFO if level is None else names[level.upper()]

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line passes."""
        if record.name == STATUS_LOGGER:
            return record.levelno >= self._status_level
        if record.name.partition(".")[0] == "kafka":
            return not self._hides_client and record.levelno >= self._client_level
        return True


class _TextFormatter(logging.Formatter):
    """Time, level, logger, message, and fields as name=value."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002 - the base's
        """Return the time, in UTC."""
        return _time(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line of a record, and only one, whatever is in it."""
        words = [f"{name}={_text(value)}" for name, value in _fields(record).items()]
        return printable(" ".join([super().formatMessage(record), *words]))

    def formatException(self, ei: Any) -> str:
        """Return a traceback, in its lines."""
        return printable(super().formatException(ei), keeps_lines=True)


class _JsonFormatter(logging.Formatter):
    """One object a line: time, level, logger, message, and fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        content = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return printable_json(json.dumps(content, default=str, ensure_ascii=False))


def _time(record: logging.LogRecord) -> str:
    """Return when a record was made: ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return what was given as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _OWN_FIELDS}


def _text(value: Any) -> str:
    """Return a value without blanks that are not quoted."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text
