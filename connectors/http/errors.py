"""Our errors as answers: the same words as at the command line."""

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse

from echo_stream.errors import (
    ConfigError,
    DataError,
    EchoStreamError,
    InfrastructureError,
    SnapshotError,
    SourceError,
)

CODES: tuple[tuple[type[EchoStreamError], int], ...] = (
    (SnapshotError, 404),
    (ConfigError, 422),
    (DataError, 422),
    (InfrastructureError, 503),
    (SourceError, 503),
    (EchoStreamError, 409),  # the state warms up, or cannot be read
)


def answer_errors(app: FastAPI) -> None:
    """Let an app answer what we raise on purpose with a code and a line."""

    @app.exception_handler(EchoStreamError)
    def refused(_: Request, err: EchoStreamError) -> JSONResponse:
        code = next(code for kind, code in CODES if isinstance(err, kind))
        return JSONResponse({"detail": str(err)}, code)
