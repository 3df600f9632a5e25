"""Bad parameters are refused in words, and what is a fault of ours reaches the browser without a traceback."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.report import made
from tests.server.conftest import HOME, Serve
from truetap.errors import StoreError
from truetap.server import answers
from truetap.server.app import make_app

BAD = [
    ("samples", {"sort": "loss; drop table samples_1"}, 400, "one of ['loss'"),
    ("samples", {"sort": "wrongs"}, 400, "one of ['confidence'"),
    ("samples", {"order": "up"}, 400, "one of ['asc', 'desc']"),
    ("samples", {"page": "-1"}, 400, "a whole number from 0"),
    ("samples", {"page": "1e3"}, 400, "a whole number from 0"),
    ("samples", {"page": "٣"}, 400, "a whole number from 0"),
    ("samples", {"true": "nobody"}, 404, "the name of a class, or its number"),
    ("samples", {"phase": "val"}, 404, "one of ['train']"),
    ("samples", {"epoch": "7"}, 404, "one of [0]"),
    ("samples", {"output": "1"}, 404, "a number from 0 to 0"),
    ("samples", {"wrong": "yes"}, 400, "one of ['', '0', '1']"),
    ("samples", {"wronk": "1"}, 400, "Near names: 'wrong'"),
    ("samples", {"find": "x" * 501}, 400, "500 at most"),
    ("matrix", {"classes": "0,1,9"}, 404, "from 0 to 2"),
    ("matrix", {"classes": ""}, 400, "1 to 25 of them"),
    ("classes", {"sort": "auc"}, 400, "one of ['class'"),
    ("inputs", {"ids": "[1]"}, 400, "a JSON list of 50 strings at most"),
    ("inputs", {"ids": "[" * 20_000}, 400, "a JSON list of 50 strings at most"),
    ("sample", {"id": "12"}, 404, "an id as in run.samples().ids"),
    ("sample", {"id": "' or 1=1 --"}, 404, "an id as in run.samples().ids"),
    ("stamp", {"x": "1"}, 400, "one of []"),
]


@pytest.mark.parametrize(("path", "given", "status", "words"), BAD)
def test_bad_parameters(
    serve: Serve, tmp_path: Path, path: str, given: dict[str, str], status: int, words: str
) -> None:
    run = made.write(tmp_path / "run", {"train": [made.of_classes(20, 3)]})
    asking = serve(run)
    found, said = asking.refused(f"runs/0/{path}", **given)
    assert (found, words in said["expected"]) == (status, True), said
    assert said["received"]
    assert said["do"]


def test_the_same_parameter_twice(serve: Serve, tmp_path: Path) -> None:
    run = made.write(tmp_path / "run", {"train": [made.of_classes(20, 3)]})
    answer = serve(run).client.get("/api/runs/0/samples?page=0&page=1")
    assert (answer.status_code, answer.json()["received"]) == (400, "the parameter 'page' twice")


def test_a_fault_of_ours_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = made.write(tmp_path / "run", {"train": [made.of_classes(20, 3)]})

    def broken(*_: object) -> None:
        raise RuntimeError("a secret of the server")

    monkeypatch.setattr(answers, "_overview", broken)
    monkeypatch.setattr(answers, "default_place", broken)
    app = make_app([run.path], token=None, host="127.0.0.1")
    with TestClient(app, base_url=HOME, raise_server_exceptions=False) as client, caplog.at_level(logging.ERROR):
        for path in ("/api/runs/0", "/api/runs/0/output"):
            answer = client.get(path)
            assert answer.status_code == 500
            assert answer.json()["received"] == "an error in truetap"
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert "secret" not in answer.text
    assert "a secret of the server" in caplog.text


def test_no_run_no_server(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no run at"):
        make_app([str(tmp_path)], token=None, host="127.0.0.1")
    with pytest.raises(StoreError, match=r"nothing to serve\. Received: no run\. Expected: the folder"):
        make_app([], token=None, host="127.0.0.1")
