"""Bad input: an error that says what came, what was expected and what to do, before anything is drawn if it can."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import truetap as tt

X = np.random.default_rng(3).normal(size=(10, 4)).astype("float32")
Y = np.arange(10, dtype="float32")


@pytest.fixture(scope="module")
def model() -> Any:
    inputs = keras.Input((4,), name="x")
    model = keras.Model(inputs, keras.layers.Dense(1, name="out")(inputs))
    model.compile(loss="mse")
    return model


def one_batch(*parts: Any) -> Iterator[Any]:
    yield parts


UNLABELLED: dict[str, Any] = {
    "an array": X,
    "a tuple of one": (X,),
    "no labels": (X, None),
    "a dataset": tf.data.Dataset.from_tensor_slices(X).batch(4),
    "a dict": [{"pixels": X}],
}


@pytest.mark.parametrize("data", UNLABELLED.values(), ids=UNLABELLED.keys())
def test_unlabelled(data: Any, model: Any) -> None:
    with pytest.raises(tt.UnlabelledDataError, match=r"There are no labels in .* Expected: \(x, y\)"):
        tt.collect(model, iter(data) if isinstance(data, list) else data)
    with pytest.raises(tt.UnlabelledDataError, match="There are no labels"):
        tt.ground_truth(iter(data) if isinstance(data, list) else data)


NOT_DATA: dict[str, tuple[Any, str]] = {
    "None": (None, "can't be read as batches. Received: None"),
    "a number": (3, "can't be read as batches. Received: 3"),
    "a path": ("data.csv", "There are no files at 'data.csv'"),
    "a torch dataset": (torch.utils.data.TensorDataset(torch.tensor(X)), "gives single samples"),
    "strings in a generator": (["a", "b"], "labels|batch"),
    "four parts": ([(X, X, X, X)], "a tuple of 4 parts"),
    "single samples": ([(X[0], Y[0])], "first axis of samples|different numbers of samples"),
    "an empty generator": (iter(()), "gave no batch"),
}


@pytest.mark.parametrize(("data", "said"), NOT_DATA.values(), ids=NOT_DATA.keys())
def test_what_is_no_data(data: Any, said: str, model: Any) -> None:
    with pytest.raises(tt.DataError, match=said):
        tt.collect(model, iter(data) if isinstance(data, list) else data)


def test_the_model_in_the_place_of_the_data(model: Any) -> None:
    for first in ((X, Y), model):
        with pytest.raises(tt.DataError, match=r"came in the place of the data. Expected: collect\(model, data\)"):
            tt.collect(first, model)


def test_what_is_no_model() -> None:
    for other in (torch.nn.Linear(4, 1), keras.layers.Dense(1), lambda x: x):
        with pytest.raises(tt.ModelError, match="A Keras model is expected first"):
            tt.collect(other, (X, Y))


def test_a_model_that_is_not_built() -> None:
    with pytest.raises(tt.ModelError, match="is not built"):
        tt.collect(keras.Sequential([keras.layers.Dense(1)]), (X, Y))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((X, Y[:9]), "x with 10, y with 9"),
        ((X, Y, Y[:3]), "sample_weight with 3"),
        (((X, X[:4]), Y), r"x\[1\] with 4"),
    ],
    ids=["y", "weights", "one of two inputs"],
)
def test_lengths_that_differ(data: Any, said: str, model: Any) -> None:
    with pytest.raises(tt.LengthError, match=said):
        tt.collect(model, data)


def test_lengths_that_differ_in_a_batch(model: Any) -> None:
    with pytest.raises(tt.LengthError, match=r"shapes \{'x': \[\(10, 4\)\], 'y': \[\(9,\)\]\}"):
        tt.collect(model, one_batch(X, Y[:9]))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"a": Y, "b": Y}, "don't match the model's outputs"),
        ({"ot": Y}, "named 'ot', and the model's output is named 'out'"),
        ([Y, Y], "don't match the model's outputs"),
    ],
    ids=["two", "another name", "a list"],
)
def test_labels_of_another_structure(labels: Any, said: str, model: Any) -> None:
    with pytest.raises(tt.StructureError, match=said):
        tt.collect(model, (X, labels))


def test_labels_of_another_structure_for_several_outputs() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, {"age": keras.layers.Dense(1)(inputs), "sex": keras.layers.Dense(1)(inputs)})
    model.compile(loss={"age": "mse", "sex": "mse"})
    with pytest.raises(tt.StructureError, match=r"Received: 'aeg'. Near names: 'age'"):
        tt.collect(model, (X, {"aeg": Y, "sex": Y}))
    with pytest.raises(tt.StructureError, match=r"Received: one array. Expected: values for \['age', 'sex'\]"):
        tt.collect(model, (X, Y))
    samples = tt.collect(model, (X, {"age": Y, "sex": Y}))
    with pytest.raises(tt.StructureError, match=r"no output named 'agee'. Near names: 'age'"):
        samples["agee"]
    with pytest.raises(tt.StructureError, match="several outputs"):
        samples.flat_valid()


def test_inputs_of_another_name() -> None:
    inputs = {name: keras.Input((4,), name=name) for name in ("left", "right")}
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Add()(list(inputs.values()))))
    model.compile(loss="mse")
    with pytest.raises(tt.DataError, match=r"have no 'right'. Received: columns"):
        tt.collect(model, ({"left": X, "rigth": X}, Y))


def test_labels_that_are_names(model: Any) -> None:
    with pytest.raises(tt.DataError, match=r"Labels are numbers.*np.unique"):
        tt.collect(model, (X, np.asarray(list("abcdefghij"))))
    with pytest.raises(tt.DataError, match="Labels are numbers"):
        tt.collect(model, tf.data.Dataset.from_tensor_slices((X, list("abcdefghij"))).batch(4))


IDS: dict[str, tuple[Any, str]] = {
    "too few": (range(9), "There are 9 ids for 10 samples"),
    "too many": (range(11), "There are 11 ids for 10 samples"),
    "repeated": ([0, 1, 2, 3, 4, 5, 6, 7, 7, 0], "each may stand once. Received: 2 repeated, such as 0, 7"),
    "floats": (Y, "floats lose digits above 2\\*\\*53"),
    "mixed": ([0, "a", *range(8)], "int and str"),
    "too large": ([2**63, *range(9)], "too large for int64. Received: 9223372036854775808"),
    "a table": (np.zeros((10, 2), int), r"Received: shape \(10, 2\)"),
}


@pytest.mark.parametrize(("ids", "said"), IDS.values(), ids=IDS.keys())
def test_ids(ids: Any, said: str, model: Any) -> None:
    with pytest.raises(tt.IdError, match=said):
        tt.collect(model, (X, Y), ids=ids)


@pytest.mark.parametrize("ids", [range(9), [0, 1, 2, 3, 4, 5, 6, 7, 7, 0]], ids=["too few", "repeated"])
def test_ids_that_travel(ids: Any) -> None:
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(X)), batch_size=4)
    for data in (loader, tf.data.Dataset.from_tensor_slices((X, Y))):
        with pytest.raises(tt.IdError, match=r"There are 9 ids for 10|each may stand once"):
            tt.with_ids(data, ids)


def test_with_ids_in_the_wrong_place(model: Any) -> None:
    data = tf.data.Dataset.from_tensor_slices((X, Y))
    with pytest.raises(tt.DataError, match=r"already shuffles .*Put with_ids first"):
        tt.with_ids(data.shuffle(10))
    with pytest.raises(tt.IdError, match=r"were not batched after it. Expected: tt.with_ids\(dataset\).batch"):
        tt.collect(model, tt.with_ids(data.batch(4)))
    with pytest.raises(tt.IdError, match="carry ids already"):
        tt.collect(model, tt.with_ids((X, Y), range(10)), ids=range(10))
    with pytest.raises(AttributeError, match="window can't carry ids"):
        tt.with_ids(data).window(2)


def test_ids_of_two_kinds_in_one_pass(model: Any) -> None:
    rows = [{"x": X, "key": list("abcdefghij")}, {"x": X + 1, "key": np.arange(10)}]
    with pytest.raises(tt.IdError, match="Received: both, the second kind in batch 1 of the generator") as caught:
        tt.collect(model, ((x, Y) for x in rows), ids="key")
    assert caught.value.samples is not None
    assert list(caught.value.samples.ids) == list("abcdefghij")


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("on_disk", [False, True])
def test_weights_in_some_batches_only(first: int, on_disk: bool, model: Any, tmp_path: Path) -> None:
    batches = [(X, Y), (X + 1, Y, np.linspace(0, 1, 10))]
    with pytest.raises(tt.StructureError, match="Batch 1 has other parts than the batches before") as caught:
        tt.collect(model, iter(batches[:: -1 if first else 1]), to=tmp_path / "run" if on_disk else None)
    rows = tt.open(tmp_path / "run").samples() if on_disk else caught.value.samples
    assert rows is not None
    assert len(rows) == 10


def test_ids_of_a_generator(model: Any) -> None:
    with pytest.raises(tt.IdError, match="There are 9 ids, and the generator gave at least 10"):
        tt.collect(model, one_batch(X, Y), ids=range(9))
    with pytest.raises(tt.IdError, match="There are 12 ids, and the generator gave 10") as caught:
        tt.collect(model, one_batch(X, Y), ids=range(12))
    assert caught.value.samples is not None
    assert len(caught.value.samples) == 10
    with pytest.raises(tt.DataError, match=r"ids='kye' names a key of a dict.* Near names: 'key'"):
        tt.collect(model, one_batch({"x": X, "key": Y}, Y), ids="kye")


def test_a_generator_that_ends_early(model: Any, tmp_path: Path) -> None:
    with pytest.raises(tt.DataEndedEarly, match="ended after 1 of 3 batches") as caught:
        tt.collect(model, one_batch(X, Y), steps=3, to=tmp_path / "run")
    assert caught.value.samples is not None
    assert len(tt.open(tmp_path / "run").samples()) == 10
    with pytest.raises(tt.DataEndedEarly, match="ended after 1 of 3 batches"):
        tt.ground_truth(one_batch(X, Y), steps=3)
    with pytest.raises(tt.DataEndedEarly, match="ended after 1 of 3 batches"):
        list(tt.stream(model, one_batch(X, Y), steps=3))


@pytest.mark.parametrize("steps", [0, -1, 2.5, "3"])
def test_steps(steps: Any, model: Any) -> None:
    with pytest.raises(tt.DataError, match="steps is a number of batches"):
        tt.collect(model, (X, Y), steps=steps)


def test_arguments_that_fit_no_source(model: Any) -> None:
    with pytest.raises(tt.DataError, match="batch_size is for arrays"):
        tt.collect(model, one_batch(X, Y), batch_size=3)
    with pytest.raises(tt.DataError, match="args and kwargs are for a function that makes the data"):
        tt.collect(model, (X, Y), args=(1,))
    with pytest.raises(tt.DataError, match="can be read only once"):
        tt.check_alignment(one_batch(X, Y))
    with pytest.raises(tt.DataError, match="has no end"):
        tt.collect(model, tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).repeat())


def test_samples_that_are_not_in_the_data(model: Any) -> None:
    samples = tt.collect(model, (X, Y))
    with pytest.raises(tt.IdError, match="None of the 10 samples is in these data"):
        samples.identify((X + 1, Y))
    with pytest.warns(tt.DataWarning, match="2 of 10 samples are not in these data"):
        named = samples.identify((X[:8], Y[:8]), ids=list("abcdefgh"))
    assert list(named.ids[:8]) == list("abcdefgh")


def test_samples_asked_for_what_they_lack(model: Any) -> None:
    samples = tt.collect(model, (X, Y))
    with pytest.raises(tt.DataError, match="inputs were not kept"):
        samples.inputs  # noqa: B018
    with pytest.raises(tt.TaskError, match="Numbers have no class"):
        samples.true_labels  # noqa: B018
    with pytest.raises(tt.TaskError, match="flat_valid is for sequences"):
        samples.flat_valid()
