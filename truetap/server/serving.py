"""`truetap serve`: binds a port, says where, and serves until Ctrl-C."""

from __future__ import annotations

import os
import secrets
import socket
import webbrowser
from collections.abc import Sequence

import uvicorn

from truetap.errors import StoreError
from truetap.server import assets
from truetap.server.app import make_app
from truetap.server.guard import is_loopback

__all__ = ["needed_token", "serve"]


def serve(
    runs: Sequence[str],
    *,
    host: str = "127.0.0.1",
    port: int = 8118,
    token: str | None = None,
    open_browser: bool = False,
) -> None:
    """Serves the views of runs until Ctrl-C; prints the address.

    Args:
        runs: Folders of runs, finished or still being written. Nothing else is readable, and nothing is written.
        host: What to bind to. Anything but the loopback is open to the network, and asks for a token.
        port: The port; 0 for a free one.
        token: What has to be known to be let in; made up where one is needed and none is given.
        open_browser: Whether to open the page.

    Raises:
        StoreError: There is no run in one of the folders, the port is taken, or the charts' package isn't installed.
    """
    token = needed_token(host, token)
    app = make_app(runs, token=token, host=host)
    assets.needed()
    bound = _bound(host, port)
    with bound:
        address = _address(host, bound.getsockname()[1], token)
        print(f"truetap serves {_said(runs)} at {address}  (Ctrl-C ends it)", flush=True)  # noqa: T201
        if open_browser:
            webbrowser.open(address)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=2,
        )
        try:
            uvicorn.Server(config).run(sockets=[bound])
        except KeyboardInterrupt:  # the way to end it
            print("ended", flush=True)  # noqa: T201


_SHORTEST = 8


def needed_token(host: str, token: str | None) -> str | None:
    """The token that is asked for: the one given, one made up where the network can reach the server, or none.

    Raises:
        StoreError: The one given is too short.
    """
    if token is not None and len(token) < _SHORTEST:
        raise StoreError(
            f"A token that can be guessed protects nothing. Received: {len(token)} characters. Expected: {_SHORTEST} "
            "or more; or none, for one to be made up."
        )
    return secrets.token_urlsafe(24) if token is None and not is_loopback(host) else token


def _said(runs: Sequence[str]) -> str:
    return ", ".join(os.path.basename(os.path.abspath(run)) for run in runs)


def _bound(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        StoreError: It can't be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(found[0], found[1])
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(found[4])
            bound.listen(128)  # whoever opens the printed address at once waits, and isn't refused
        except OSError:
            bound.close()
            raise
    except (OSError, OverflowError) as error:
        raise StoreError(
            f"The address can't be had. Received: host {host!r}, port {port} ({error}). Expected: an address of this "
            "machine and a port that is free; port=0 takes any."
        ) from error
    return bound


def _address(host: str, port: int, token: str | None) -> str:
    """What to open."""
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname(), "": socket.gethostname()}.get(host, host)
    name = f"[{name}]" if ":" in name else name
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")
