"""Who is let in: hosts, methods, tokens, paths; and the headers of every answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report import made
from tests.server.conftest import Serve
from truetap.run import Run

TOKEN = "a-token-of-the-tests"
OUTSIDE = "http://box.example:8118"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return made.write(tmp_path / "run", {"train": [made.of_classes(20, 3)]})


@pytest.mark.parametrize("host", ["127.0.0.1:8118", "localhost:8118", "LOCALHOST", "[::1]:8118", "127.0.0.1"])
def test_names_of_this_machine_are_let_in(serve: Serve, run: Run, host: str) -> None:
    assert serve(run).client.get("/api/runs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8118", "evil@127.0.0.1", "0.0.0.0:8118", "", "127.0.0.1:8118/x"]
)
def test_other_names_are_refused(serve: Serve, run: Run, host: str) -> None:
    for path in ("/", "/api/runs", "/page/app.js"):
        answer = serve(run).client.get(path, headers={"Host": host})
        assert answer.status_code == 421
        assert answer.json()["expected"] == "127.0.0.1 or localhost"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
def test_nothing_but_reading(serve: Serve, run: Run, method: str) -> None:
    answer = serve(run).client.request(method, "/api/runs")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.json() == {"received": f"the method {method}", "expected": "GET or HEAD", "do": answer.json()["do"]}


def test_head_has_the_headers_and_no_body(serve: Serve, run: Run) -> None:
    client = serve(run).client
    for path in ("/", "/api/runs", "/page/style.css"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


def test_every_answer_says_what_a_browser_may_do(serve: Serve, run: Run) -> None:
    client = serve(run).client
    for path in ("/", "/api/runs", "/page/app.js", "/nowhere", "/api/runs/9"):
        headers = client.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_without_the_token_nothing_is_seen(serve: Serve, run: Run) -> None:
    client = serve(run, token=TOKEN, host="0.0.0.0", base=OUTSIDE).client
    near = (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "", "é")
    for path in ("/", "/api/runs", "/page/app.js", *(f"/?token={each}" for each in near), f"/?token={TOKEN}&token=x"):
        answer = client.get(path)
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
        assert TOKEN not in answer.text
    for cookie in (f"truetap-8118={TOKEN}x", f"other={TOKEN}", f"truetap-80={TOKEN}", "truetap-8118=", ";;=;"):
        assert client.get("/api/runs", headers={"Cookie": cookie}).status_code == 401


def test_the_token_becomes_a_cookie_and_leaves_the_address(serve: Serve, run: Run) -> None:
    client = serve(run, token=TOKEN, host="0.0.0.0", base=OUTSIDE).client
    answer = client.get("/", params={"token": TOKEN, "phase": 'train"><script>', "epoch": "0"})
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"]
    assert cookie == f"truetap-8118={TOKEN}; HttpOnly; SameSite=Strict; Path=/"
    assert answer.headers["cache-control"] == "no-store"
    assert 'content="0;url=/?phase=train%22%3E%3Cscript%3E&amp;epoch=0"' in answer.text
    assert TOKEN not in answer.text
    assert "<script" not in answer.text
    assert client.get("/api/runs").status_code == 200
    assert "set-cookie" not in client.get("/").headers


def test_a_token_is_asked_for_on_the_loopback_too_where_one_was_given(serve: Serve, run: Run) -> None:
    client = serve(run, token=TOKEN).client
    assert client.get("/api/runs").status_code == 401
    assert client.get(f"/?token={TOKEN}").status_code == 200
    assert client.get("/api/runs").status_code == 200
    assert client.get("/api/runs", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    "path",
    [
        "/page/../app.py",
        "/page/..%2fapp.py",
        "/page/%2e%2e/app.py",
        "/page//etc/passwd",
        "/page/index.html",
        "/page/",
        "/page/app.js/..",
        "/manifest.json",
        "/api/runs/0/../../manifest.json",
        "/api/runs/..",
        "/api/runs/-1",
        "/api/runs/1",
        "/api/runs/0x0",
        "/api/runs/%2fetc%2fpasswd",
        "/api/runs/99999999999999999999999",
        "/api/runs/0/manifest",
        "/api/runs/0/sql",
    ],
)
def test_no_path_leads_out(serve: Serve, run: Run, path: str) -> None:
    answer = serve(run).client.get(path)
    assert answer.status_code == 404
    assert set(answer.json()) == {"received", "expected", "do"}
    assert "root:" not in answer.text


def test_files_of_the_page_are_sent_once(serve: Serve, run: Run) -> None:
    client = serve(run).client
    first = client.get("/page/tables.js")
    assert first.headers["content-type"] == "text/javascript; charset=utf-8"
    again = client.get("/page/tables.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    found = client.get("/api/runs")
    assert client.get("/api/runs", headers={"If-None-Match": found.headers["etag"]}).status_code == 304
