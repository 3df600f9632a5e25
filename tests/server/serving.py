"""A real server in a process of its own, or in a thread; a tab that remembers what went wrong in it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import BrowserContext

from tests.report.browser import Scheme, Watched
from truetap.server.app import make_app

ARTIFACTS = Path(__file__).parents[2] / ".artifacts" / "server"
_PROGRAM = "import sys, json; from truetap.server import serve; serve(sys.argv[2:], **json.loads(sys.argv[1]))"


@contextmanager
def process(runs: Sequence[Path], options: str = '{"port": 0}') -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`truetap.server.serve` as a user starts it; gives the address that it prints."""
    arguments = [sys.executable, "-c", _PROGRAM, options, *map(str, runs)]
    started = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    try:
        assert started.stdout is not None
        line = started.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found is not None, line + (started.stderr.read() if started.stderr else "")
        yield found[0], started
    finally:
        if started.poll() is None:
            os.kill(started.pid, signal.SIGKILL)
        started.wait()
        for pipe in (started.stdout, started.stderr):
            if pipe is not None:
                pipe.close()


@contextmanager
def thread(runs: Sequence[Path]) -> Iterator[str]:
    """uvicorn in a thread: quicker to start, and its coverage is seen."""
    app = make_app([str(run) for run in runs], token=None, host="127.0.0.1")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    running = threading.Thread(target=server.run)
    running.start()
    while not server.started:
        assert running.is_alive()
        time.sleep(0.01)
    port: int = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        running.join()


class Tab(Watched):
    """A page of the server in a tab."""

    artifacts = ARTIFACTS

    def __init__(self, context: BrowserContext, address: str, width: int = 1200, scheme: Scheme = "light") -> None:
        super().__init__(context, width, scheme)
        self.address = address
        self.page.goto(address)
        self.settled()

    def settled(self) -> None:
        """Waits until every section says what it shows."""
        self.page.wait_for_selector("body[data-begun='true'][data-charts='drawn']", state="attached")
        self.page.wait_for_function("() => document.querySelector('[aria-busy]') === null")
        drawn = "() => [...document.querySelectorAll('main .plot')].every((node) => node.querySelector('svg'))"
        self.page.wait_for_function(drawn)

    def close(self, allowed: Sequence[str] = ()) -> None:
        """Closes the tab, in which nothing may have gone wrong, and which may have asked nobody else."""
        self.page.close()
        host: Any = re.match(r"https?://[^/]+", self.address)
        wrong = [each for each in self.wrong if not any(part in each for part in allowed)]
        assert wrong == [], wrong
        assert [each for each in self.asked if not each.startswith(("data:", host[0]))] == []
