"""What can be asked of the server: the page, its files, and JSON about the runs that were given when it was started.

Every answer is bounded: pages of 50, curves of at most 1,200 points, matrices of at most 25 classes. Work of more than
a blink is answered with {"state": "working"}, and the page asks again.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import anyio.to_thread
import duckdb
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from truetap import __version__
from truetap.errors import TruetapError
from truetap.report.charts import config
from truetap.server import answers, assets
from truetap.server.asked import Asked
from truetap.server.guard import Guard
from truetap.server.refusal import Refusal, refusal_of
from truetap.server.served import Library

__all__ = ["make_app"]

_LOG = logging.getLogger(__name__)
_THREADS, _PATIENCE = 8, 1.0
_PLACE = ("phase", "epoch", "output")
_FILTERS = ("true", "pred", "wrong", "flagged", "find", "sort", "order", "page")
_PLAIN: dict[str, tuple[answers.Answering, tuple[str, ...]]] = {
    "": (answers.overview, ()),
    "stamp": (answers.stamp, ()),
    "curves": (answers.curves_of, ()),
    "layers": (answers.layers_of, ()),
    "cost": (answers.cost_of, ()),
    "findings": (answers.findings_of, ()),
    "hardest": (answers.hardest_of, ("output",)),
    "labels": (answers.labels_of, ("output",)),
    "output": (answers.output_of, _PLACE),
    "exact": (answers.exact_of, _PLACE),
    "matrix": (answers.matrix_of, (*_PLACE, "classes")),
    "pairs": (answers.pairs_of, (*_PLACE, "page")),
    "classes": (answers.classes_of, (*_PLACE, "find", "sort", "order", "page")),
    "samples": (answers.samples_of, (*_PLACE, *_FILTERS)),
    "inputs": (answers.inputs_shown, ("phase", "epoch", "ids")),
    "sample": (answers.sample_of, ("phase", "id")),
}


def make_app(runs: Sequence[str], *, token: str | None, host: str) -> Starlette:
    """The application.

    Args:
        runs: Folders of runs.
        token: What has to be known to be let in; None for the loopback.
        host: What the server is bound to: on the loopback the Host header is checked.

    Raises:
        StoreError: There is no run in one of the folders.
    """
    library = Library(runs)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
        charts = threading.Thread(target=assets.vega, name="truetap-charts", daemon=True)
        charts.start()
        yield
        charts.join(_PATIENCE)
        if not library.close(_PATIENCE):
            atexit.register(_leave)

    app = Starlette(
        routes=_routes(library),
        lifespan=lifespan,
        middleware=[
            Middleware(Guard, token=token, host=host),
            Middleware(GZipMiddleware, minimum_size=2_000, compresslevel=3),
        ],
        exception_handlers={HTTPException: _http_error, Exception: _failure},  # type: ignore[dict-item]
    )
    app.state.library = library
    return app


def _leave() -> None:
    """Ends the process at its end: native code in a thread that still works would be torn down beneath it."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1 if getattr(sys, "last_type", None) is not None else 0)


def _routes(library: Library) -> list[Route]:
    routes = [
        Route("/", _file_named("index.html")),
        *(Route(f"/page/{name}", _file_named(name)) for name in assets.NAMES if name != "index.html"),
        Route("/api/runs", _plain(lambda asked: _listed(library), ())),
        Route("/api/overlaid", _plain(lambda asked: answers.overlaid_of(library, asked), ("runs",))),
        Route("/api/compare", _plain(lambda asked: answers.compared_of(library, asked), ("here", "there"))),
    ]
    for name, (answering, known) in _PLAIN.items():
        path = f"/api/runs/{{run:int}}/{name}".rstrip("/")
        routes.append(Route(path, _of_run(library, answering, known)))
    return routes


def _listed(library: Library) -> dict[str, Any]:
    runs = [{"number": each.number, "name": each.name, "path": str(each.path)} for each in library.runs]
    return {"runs": runs, "version": __version__, "config": config()}


def _file_named(name: str) -> Callable[[Request], Response]:
    kinds = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
    kind = f"{kinds[name.rpartition('.')[2]]}; charset=utf-8"

    def answer(request: Request) -> Response:
        try:
            found = assets.tag(name)
        except TruetapError as error:
            return _refused(refusal_of(error))
        headers = {"ETag": found, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == found:
            return Response(status_code=304, headers=headers)
        return Response(assets.asset(name), media_type=kind, headers=headers)

    return answer


def _of_run(library: Library, answering: answers.Answering, known: Sequence[str]) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        number: int = request.path_params["run"]
        return _answered(request, lambda asked: answering(library, library.run(number), asked), known)

    return answer


def _plain(work: Callable[[Asked], Any], known: Sequence[str]) -> Callable[[Request], Response]:
    return lambda request: _answered(request, work, known)


def _answered(request: Request, work: Callable[[Asked], Any], known: Sequence[str]) -> Response:
    """Plain data as JSON, with a tag by which the page is told that nothing has changed."""
    try:
        body = json.dumps(work(Asked(request.query_params, known)), allow_nan=False, separators=(",", ":")).encode()
    except Refusal as refusal:
        return _refused(refusal)
    except TruetapError as error:
        return _refused(refusal_of(error))
    except duckdb.CatalogException:  # the index was given up for another one in the meantime
        body = b'{"state":"working"}'
    except Exception as error:  # the browser gets a sentence, the terminal the traceback
        return _failure(request, error)
    found = f'"{hashlib.blake2b(body, digest_size=8).hexdigest()}"'
    headers = {"ETag": found, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == found:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


def _refused(refusal: Refusal) -> Response:
    return JSONResponse(refusal.to_json(), refusal.status, headers={"Cache-Control": "no-store"})


def _http_error(request: Request, error: HTTPException) -> Response:
    received = f"{request.url.path[:200]}"
    return _refused(Refusal(error.status_code, received, "an address of the page", "Begin anew at /."))


def _failure(request: Request, error: Exception) -> Response:
    _LOG.error("a request failed", exc_info=error)
    return _refused(Refusal(500, "an error in truetap", "an answer", "Look at the server's terminal, and report it."))
