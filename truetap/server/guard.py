"""Who may ask: a check before every request, and the headers of every answer.

On the loopback the Host header must name it: a page elsewhere whose name was made to point here (DNS rebinding) has
another. Bound elsewhere, or where one was given, a token is asked for: once in the address, then in a cookie that
scripts can't read and other sites don't send.
"""

from __future__ import annotations

import hmac
import html
import ipaddress
import json
import re
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from truetap.server.refusal import Refusal

__all__ = ["Guard", "is_loopback"]

COOKIE = "truetap"
_METHODS = ("GET", "HEAD")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[^:\[\]/@]+)(:(?P<port>\d{1,5}))?")


def is_loopback(host: str) -> bool:
    """Whether a name or address is of this machine alone.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("[::1]"), is_loopback("0.0.0.0"), is_loopback("example.org")
        (True, True, False, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """Stands before the application.

    Args:
        app: What answers those that are let in.
        token: What must be known; None where the loopback is enough.
        host: What the server is bound to.
    """

    def __init__(self, app: ASGIApp, token: str | None, host: str) -> None:
        self._app, self._token, self._loopback = app, token, is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or hands on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # a WebSocket: there are none
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers)
        entering = None
        if refusal is None and self._token is not None and not self._has_cookie(headers):
            entering = self._entering(scope)
            if entering is None:
                received = "no token, or another one"
                refusal = Refusal(401, received, "the token", "Open the whole address that the server has printed.")

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    given[name] = value
            await send(message)

        if refusal is not None:
            await _respond(guarded, refusal.status, "application/json", json.dumps(refusal.to_json()), scope)
        elif entering is not None:
            cookie = f"{self._cookie(headers)}={self._token}; HttpOnly; SameSite=Strict; Path=/"
            await _respond(guarded, 200, "text/html; charset=utf-8", entering, scope, (("Set-Cookie", cookie),))
        else:
            await self._app(scope, receive, guarded)

    def _refusal(self, method: str, headers: Headers) -> Refusal | None:
        if method not in _METHODS:
            return Refusal(405, f"the method {method[:20]}", "GET or HEAD", "Nothing can be written here.")
        found = _HOST.fullmatch(headers.get("host", ""))
        if found is None or (self._loopback and not is_loopback(found["name"])):
            said = f"the Host header {headers.get('host', '')[:100]!r}"
            return Refusal(421, said, "127.0.0.1 or localhost", "Open the address that the server has printed.")
        return None

    def _has_cookie(self, headers: Headers) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie(headers))
        except CookieError:
            return False
        return found is not None and self._same(found.value)

    def _entering(self, scope: Scope) -> str | None:
        """The page that goes on without the token in the address; a redirect would not take the cookie along.

        (A cookie that is SameSite=Strict is left out of a redirect when a link elsewhere was followed.)
        """
        try:
            pairs = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, max_num_fields=50)
        except ValueError:
            return None
        given = [value for name, value in pairs if name == "token"]
        if scope["path"] != "/" or len(given) != 1 or not self._same(given[0]):
            return None
        rest = urlencode([(name, value) for name, value in pairs if name != "token"])
        target = html.escape(f"/?{rest}" if rest else "/", quote=True)
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={target}">'
            f'<link rel="icon" href="data:,"><title>truetap</title><p><a href="{target}">Go on</a></p></html>'
        )

    def _same(self, given: str) -> bool:
        assert self._token is not None
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode())

    def _cookie(self, headers: Headers) -> str:
        """Cookies don't tell ports apart: two servers on one machine would take each other's."""
        found = _HOST.fullmatch(headers.get("host", ""))
        return f"{COOKIE}-{(found['port'] if found else None) or 80}"


async def _respond(
    send: Send, status: int, kind: str, text: str, scope: Scope, more: Sequence[tuple[str, str]] = ()
) -> None:
    body = text.encode()
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"), *more]
    headers += [("Allow", ", ".join(_METHODS))] if status == 405 else []
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
