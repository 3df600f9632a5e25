"""What a newcomer does first, and wrong: each answer says what came, what was expected and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import truetap as tt

X = np.random.default_rng(0).normal(size=(24, 3)).astype("float32")
Y = (X[:, 0] > 0).astype("int64")


def made(compiled: bool = True) -> Any:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "softmax", name="out")])
    if compiled:
        model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def spent() -> Iterator[Any]:
    """A generator that was read to its end already."""
    batches = ((X[start : start + 8], Y[start : start + 8]) for start in range(0, 24, 8))
    assert len(list(batches)) == 3
    return batches


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tt.Run:
    path = tmp_path_factory.mktemp("first") / "run"
    made().fit(X, Y, verbose=0, callbacks=[tt.Recorder(path)])
    return tt.open(path)


def test_a_name_that_truetap_does_not_have() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'Recoder'\. Near names: 'Recorder'"):
        _ = tt.Recoder


def test_a_path_that_cannot_be_a_run_is_refused_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_text("")
    with pytest.raises(tt.RunExistsError, match=r"A run needs a folder\. Received: '.*file', which is a file"):
        made().fit(X, Y, verbose=0, callbacks=[tt.Recorder(tmp_path / "file")])
    with pytest.raises(tt.RunExistsError, match=r"holds other files, such as 'a\.png', and no run"):
        made().fit(X, Y, verbose=0, callbacks=[tt.Recorder(tmp_path / "photos")])


def test_attaching_to_a_model_that_is_not_compiled(tmp_path: Path) -> None:
    with (
        pytest.raises(tt.ModelError, match=r"Received: Sequential, which isn't compiled; call model\.compile"),
        tt.Recorder(tmp_path / "run").attach(made(compiled=False)),
    ):
        pass


def test_a_generator_that_was_read_to_its_end(run: tt.Run) -> None:
    model, said = made(), r"The generator gave no batch\. .* has to be made anew"
    for take in (lambda data: tt.collect(model, data), lambda data: tt.lint(model, data), run.identify):
        with pytest.raises(tt.DataError, match=said):
            take(spent())


def test_inputs_of_dtype_object() -> None:
    with pytest.raises(tt.DataError, match=r"of dtype object that hold float\. Expected: such as x\.astype"):
        tt.collect(made(), (X.astype(object), Y))


def test_names_of_layers_and_outputs_that_are_not_there() -> None:
    samples = tt.collect(made(), (X, Y), layers="out")
    with pytest.raises(tt.NotRecordedError, match=r"^There is no layer 'uot' here\. Near names: 'out'\.$"):
        _ = samples.layers["uot"]
    with pytest.raises(tt.StructureError, match=r"one output, without a name\. Received: 'age'"):
        _ = samples["age"]


def test_what_was_not_recorded_is_said_with_the_tap_that_records_it(run: tt.Run) -> None:
    with pytest.raises(tt.NotRecordedError, match=r"No gradients of 'out/kernel' .* Expected: tt\.Gradients"):
        run.gradients("out/kernel")


def test_comparing_with_a_path(run: tt.Run) -> None:
    with pytest.raises(tt.StoreError, match=r"such as tt\.open\(path\)\. Received: 'runs/before'"):
        run.compare("runs/before")  # type: ignore[arg-type]


def test_reports_show_their_words_where_they_stand_alone(run: tt.Run) -> None:
    loss = tt.check_loss("mse", X[:8, :1], X[8:16, :1])
    for each in (run.diagnose(), loss):
        assert repr(each) == str(each)
        assert "checks" in repr(each).split("\n")[0]


def test_times_of_uploads_that_cannot_be() -> None:
    with pytest.raises(tt.StoreError, match=r"Received: upload_seconds=0, upload_patience=300\.0"):
        tt.Recorder("s3://bucket/run", upload_seconds=0)
