"""Two small trainings, recorded once for all tests of the server; a client that asks until an answer is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import truetap as tt
from truetap.server.app import make_app

HOME = "http://127.0.0.1:8118"


class Asking:
    """A client of one application."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, path: str, **given: Any) -> dict[str, Any]:
        """The answer when it is there."""
        for _ in range(600):
            answer = self.client.get(f"/api/{path}", params=given)
            assert answer.status_code == 200, answer.text
            plain: dict[str, Any] = answer.json()
            if plain.get("state") != "working" and plain.get("fresh", True):
                return plain
            time.sleep(0.05)
        raise AssertionError(f"{path} is still being worked out")

    def refused(self, path: str, **given: Any) -> tuple[int, dict[str, str]]:
        """Status and words of a refusal."""
        for _ in range(200):
            answer = self.client.get(f"/api/{path}", params=given)
            if answer.status_code != 200:
                break
            assert answer.json().get("state") == "working", answer.text
            time.sleep(0.05)
        assert set(answer.json()) == {"received", "expected", "do"}
        return answer.status_code, answer.json()


Serve = Callable[..., Asking]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves runs to a client on the loopback, until the test ends."""
    with ExitStack() as stack:

        def serving(*runs: Any, token: str | None = None, host: str = "127.0.0.1", base: str = HOME) -> Asking:
            paths: Sequence[str] = [str(getattr(run, "path", run)) for run in runs]
            app = make_app(paths, token=token, host=host)
            return Asking(stack.enter_context(TestClient(app, base_url=base)))

        yield serving


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Digits, of which some labels are wrong: a small model and a larger one, four epochs each."""
    import keras
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = (digits.images[:700] / 16).astype("float32")[..., None], digits.target[:700].astype("int64")
    y[:40] = (y[:40] + 3) % 10
    folder = tmp_path_factory.mktemp("served")

    def fit(name: str, units: int) -> Path:
        keras.utils.set_random_seed(0)
        layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(units, "relu")]
        model = keras.Sequential([*layers, keras.layers.Dense(10, "softmax", name="digit")])
        model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])
        recorder = tt.Recorder(folder / name, taps="diagnose")
        data: dict[str, Any] = {"x": x[:500], "y": y[:500], "validation_data": (x[500:], y[500:])}
        model.fit(**data, epochs=4, batch_size=32, verbose=0, callbacks=[recorder])
        recorder.finish()
        tt.open(folder / name).samples(epoch=-1)
        return Path(folder / name)

    return fit("small", 16), fit("large", 128)


@pytest.fixture(scope="session")
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
