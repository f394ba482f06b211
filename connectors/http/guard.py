"""Access to the server: by token, or, where none is set, from this machine alone."""

import hmac
import re
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

# RFC 9110, of what can be loopback: a name, an address, or one of IPv6 in brackets; and a port.
_HOST = re.compile(r"(?:(?P<name>[a-z0-9.-]+)|\[(?P<address>[0-9a-f:.]+)\])(?::[0-9]*)?", re.I)
_HEALTH_PATHS = frozenset({"/healthz", "/readyz"})


class Guard:
    """Refuse requests, before any route sees them.

    Parameters
    ----------
    app : ASGIApp
    token : str or None
        With one, requests need `Authorization: Bearer TOKEN`. Without, their `Host` has to
        be a loopback name: a page of a foreign site, whose name leads here, has another.
    open_paths : frozenset of str
        Paths that need no token; those of health checks never do.
    """

    def __init__(self, app: ASGIApp, token: str | None, open_paths: frozenset[str]) -> None:
        self._app = app
        self._token = token
        self._open_paths = open_paths | _HEALTH_PATHS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope["path"], Headers(scope=scope))
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, path: str, headers: Headers) -> JSONResponse | None:
        """Return the answer to a request that is refused."""
        if self._token is None:
            if is_loopback(_host(headers.get("host", ""))):
                return None
            return JSONResponse({"detail": "ask for localhost; no token was set"}, 421)
        if path in self._open_paths or self._knows_token(headers.get("authorization", "")):
            return None
        challenge = {"WWW-Authenticate": "Bearer"}
        return JSONResponse({"detail": "a bearer token is needed"}, 401, challenge)

    def _knows_token(self, authorization: str) -> bool:
        """Return whether a header holds the token; takes as long whatever it holds."""
        scheme, _, given = authorization.partition(" ")
        token = (self._token or "").encode()
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address can only be this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _host(header: str) -> str:
    """Return the host of a `Host` header, without port and brackets; empty where it is none."""
    found = _HOST.fullmatch(header)
    return "" if found is None else found["name"] or found["address"]
