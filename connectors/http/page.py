"""The page at `/`: one file, which loads nothing from elsewhere."""

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import APIRouter, Response

PAGE_PATH = "/"
_PARTS = re.compile(r"<(script|style)>(.*?)</\1>", re.S)


def page_router() -> APIRouter:
    """Return `/`. Nothing in the page is of the state, so it may be open to all."""
    html = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    headers = {
        "Content-Security-Policy": _policy(html),
        "Cache-Control": "no-cache",
        "Referrer-Policy": "no-referrer",
    }
    router = APIRouter(include_in_schema=False)

    @router.get(PAGE_PATH)
    def page() -> Response:
        return Response(html, headers=headers, media_type="text/html")

    return router


def _policy(html: str) -> str:
    """Return the policy that lets the page's own script and style run, and nothing else."""
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, content in _PARTS.findall(html):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        hashes[kind].append(f"'sha256-{digest}'")
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {' '.join(hashes['script'])}",
            f"style-src {' '.join(hashes['style'])}",
            "connect-src 'self'",
            "img-src blob: data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )
