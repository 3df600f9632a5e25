"""`truetap.server.serve` in a process of its own: the address, Ctrl-C, tokens, ports."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.report import made
from tests.server.serving import process
from truetap.errors import StoreError
from truetap.run import Run
from truetap.server import serve
from truetap.server.serving import needed_token


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return made.write(tmp_path / "a run", {"train": [made.of_classes(50, 3)]})


def read(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as answer:
        found: bytes = answer.read()
        return found.decode()


def test_it_prints_its_address_serves_and_ends_by_ctrl_c(run: Run) -> None:
    with process([Path(run.path)]) as (address, started):
        assert address.startswith("http://127.0.0.1:")
        assert json.loads(read(f"{address}api/runs"))["runs"][0]["name"] == "a run"
        assert "<!doctype html>" in read(address)
        assert "vegaEmbed" in read(f"{address}page/vega.js")
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=20)
        assert started.returncode == 0, err
        assert out == "ended\n"
        assert err == ""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.7", "host.example"])
def test_bound_elsewhere_a_token_is_made_up(host: str) -> None:
    made = [needed_token(host, None) for _ in range(2)]
    assert all(each is not None and len(each) >= 32 for each in made)
    assert made[0] != made[1]
    assert needed_token(host, "one of the user's") == "one of the user's"
    assert needed_token("127.0.0.1", None) is None


def test_a_token_that_is_given_is_asked_for(run: Run) -> None:
    with process([Path(run.path)], '{"port": 0, "token": "one-of-the-user"}') as (address, _):
        name, _, token = address.partition("/?token=")
        assert token == "one-of-the-user"
        with pytest.raises(urllib.error.HTTPError) as refused:
            read(f"{name}/api/runs")
        assert refused.value.code == 401
        refused.value.close()
        assert "refresh" in read(address)


def test_the_run_is_not_written_to(run: Run) -> None:
    def seen() -> dict[str, tuple[int, int]]:
        files = sorted(Path(run.path).rglob("*"))
        return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in files}

    before = seen()
    with process([Path(run.path)]) as (address, _):
        for path in ("", "/output", "/samples", "/findings", "/curves"):
            read(f"{address}api/runs/0{path}")
    assert seen() == before


def test_a_port_that_is_taken(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StoreError, match=rf"can't be had\. Received: host '127.0.0.1', port {port}.*port=0"):
            serve([run.path], port=port)


def test_a_host_that_is_not_ours(run: Run) -> None:
    with pytest.raises(StoreError, match=r"can't be had\. Received: host '192.0.2.1'"):
        serve([run.path], host="192.0.2.1", port=0)


def test_a_short_token(run: Run) -> None:
    with pytest.raises(StoreError, match=r"can be guessed.*Received: 3 characters\. Expected: 8 or more"):
        serve([run.path], token="abc")


def test_without_its_packages_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['starlette'] = None; sys.modules['uvicorn'] = None\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name in ('starlette', 'uvicorn') else real(name, *rest)\n"
        "import truetap.server"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 1
    assert "no starlette and no uvicorn. Expected: pip install 'truetap[serve]'" in done.stderr
