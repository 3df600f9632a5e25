"""Arrays as Arrow columns and back: nothing lost, nothing copied that needn't be."""

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from truetap import columns

Array = npt.NDArray[Any]

NUMBERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "float32", "float64"]


def values(dtype: str, shape: tuple[int, ...]) -> Array:
    """Some values of a dtype, its extremes among them."""
    drawn = np.random.default_rng(0).standard_normal(shape) * 50
    array = np.asarray(abs(drawn) if dtype.startswith("u") else drawn).astype(dtype)
    if array.size > 1:
        limits = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
        array.flat[:2] = limits.min, limits.max
    return array


def through_file(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch as pyarrow reads it from an Arrow file."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as file:
        file.write_batch(batch)
    return pa.ipc.open_file(sink.getvalue()).get_batch(0)


def round_trips(array: Array) -> list[Array]:
    """The array after each way it can take: in memory and through a file, one shape or several."""
    found = [columns.decode(columns.encode(array))]
    for variable in (frozenset[str](), frozenset(["x"])):
        batch = columns.record_batch([("x", array)], variable)
        found += [columns.decode(batch.column("x")), columns.decode(through_file(batch).column("x"))]
    return found


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 3), (5, 2, 3), (5, 2, 3, 4), (1, 2)])
@pytest.mark.parametrize("dtype", [*NUMBERS, *FLOATS])
def test_numbers(dtype: str, shape: tuple[int, ...]) -> None:
    array = values(dtype, shape)
    for found in round_trips(array):
        assert found.dtype == array.dtype
        assert found.shape == array.shape
        np.testing.assert_array_equal(found, array)


def test_not_finite_numbers() -> None:
    array = np.array([[np.nan, np.inf], [-np.inf, -0.0]], np.float32)
    for found in round_trips(array):
        assert found.tobytes() == array.tobytes()


def test_bools() -> None:
    vector = np.array([True, False, True])
    for found in round_trips(vector):
        assert found.dtype == np.bool_
        np.testing.assert_array_equal(found, vector)
    matrix = np.array([[True, False], [False, False], [True, True]])
    for given in (matrix, matrix.T, matrix[:, ::-1], matrix[..., None]):
        for found in round_trips(given):
            assert found.dtype == np.uint8
            np.testing.assert_array_equal(found.astype(bool), given)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2])
def test_short_floats_become_float32_exactly(dtype: Any) -> None:
    for shape in [(4,), (4, 2)]:
        array = np.array([1.5, -2.0, 0.125, 448.0, 0.0, 3.0, -0.5, 1.0]).astype(dtype)[: np.prod(shape)]
        for found in round_trips(array.reshape(shape)):
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, array.reshape(shape).astype(np.float32))


@pytest.mark.parametrize(
    "array",
    [
        np.array(["a", "", "größe", "日本"]),
        np.array(["a", "größe"], object),
        np.array([b"a", "ü".encode()]),
        np.array(["2026-01-31"], "datetime64[D]").astype(str),
    ],
)
def test_strings(array: Array) -> None:
    expected = [one.decode() if isinstance(one, bytes) else str(one) for one in array]
    for found in round_trips(array):
        assert found.dtype == object
        assert found.tolist() == expected


def test_numpys_string_dtype() -> None:
    array: Array = np.array(["a", "größe"], np.dtypes.StringDType())
    assert columns.decode(columns.encode(array)).tolist() == ["a", "größe"]


def test_strings_of_higher_rank_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Strings can be stored as one per sample. Received: shape \(1, 2\)"):
        columns.encode(np.array([["a", "b"]]))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (0, 2, 3), (3, 0), (3, 2, 0), (3, 0, 2), (0, 0)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int64"])
def test_empty_batches_and_zero_extents(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, dtype)
    batch = columns.record_batch([("x", array)])
    for column in (batch.column("x"), through_file(batch).column("x")):
        assert len(column) == shape[0]
        found = columns.decode(column)
        assert found.shape == shape
        assert found.dtype == array.dtype


@pytest.mark.parametrize("shape", [(0, 3), (0, 2, 3), (3, 0), (3, 2, 0)])
def test_empty_batches_of_varying_shape(shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, np.float32)
    for batch in (columns.record_batch([("x", array)], frozenset("x")),):
        for one in (batch, through_file(batch)):
            found = columns.decode(one.column("x"))
            assert found.shape == (shape if shape[0] else (0,) * len(shape))  # no row, no shape
            more = np.ones((2, *(4,) * (len(shape) - 1)), np.float32)
            np.testing.assert_array_equal(columns.concatenate([found, more])[shape[0] :], more)


def test_a_column_of_varying_shape() -> None:
    batches = [columns.record_batch([("x", np.full((2, length, 3), length))], frozenset("x")) for length in (4, 2, 5)]
    assert batches[0].schema.equals(batches[1].schema, check_metadata=True)
    assert columns.is_variable(batches[0].schema.field("x"))
    read = [through_file(batch) for batch in batches]
    assert columns.is_variable(read[0].schema.field("x"))
    for one, length in zip(read, (4, 2, 5), strict=True):
        np.testing.assert_array_equal(columns.decode(one.column("x")), np.full((2, length, 3), length))
    for some in (batches, read):
        together = pa.concat_batches(some)
        for row, length in enumerate((4, 4, 2, 2, 5, 5)):
            np.testing.assert_array_equal(
                columns.decode(together.column("x").slice(row, 1)), np.full((1, length, 3), length)
            )
        with pytest.raises(ValueError, match=r"The rows of this column differ in shape"):
            columns.decode(together.column("x"))
    assert not columns.is_variable(columns.record_batch([("x", np.ones((2, 3)))]).schema.field("x"))


@pytest.mark.parametrize("variable", [frozenset[str](), frozenset("x")])
@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 2)])
def test_slices(shape: tuple[int, ...], variable: frozenset[str]) -> None:
    array = values("float32", shape)
    column = columns.record_batch([("x", array)], variable).column("x")
    for part in (slice(2, 5), slice(0, 1), slice(5, 6), slice(3, 3)):
        found = columns.decode(column[part])
        assert len(found) == part.stop - part.start
        np.testing.assert_array_equal(found, array[part].reshape(found.shape))


@pytest.mark.parametrize("dtype", [*NUMBERS, *FLOATS])
def test_nothing_is_copied(dtype: str) -> None:
    for shape in [(5,), (5, 3), (5, 2, 3)]:
        array = values(dtype, shape)
        assert np.shares_memory(columns.decode(columns.encode(array)), array)
        if len(shape) > 1:
            assert np.shares_memory(columns.decode(columns.encode(array, variable=True)), array)
    masks = np.ones((5, 3), bool)
    assert np.shares_memory(columns.decode(columns.encode(masks)), masks)


def test_arrays_in_another_order_are_copied_right() -> None:
    array = values("float32", (4, 3, 2))
    fortran = np.asfortranarray(array)
    for given in (
        fortran,
        array[::-1],
        array[:, ::2],
        array.transpose(1, 0, 2),
        array[..., 0],
        array[:, 0, 0],
    ):
        for found in round_trips(given):
            np.testing.assert_array_equal(found, given)
    swapped = array.astype(">f4")
    for given in (swapped, swapped[:, 0, 0]):
        for found in round_trips(given):
            assert found.dtype == np.float32
            np.testing.assert_array_equal(found, given)


def test_concatenate_pads_with_zeros() -> None:
    parts = [np.full((2, 1, 3), 1.0), np.full((1, 2, 2), 2.0)]
    expected = np.zeros((3, 2, 3))
    expected[:2, :1, :3] = 1
    expected[2:, :2, :2] = 2
    np.testing.assert_array_equal(columns.concatenate(parts), expected)
    assert columns.concatenate(parts[:1]) is parts[0]
    with pytest.raises(ValueError, match=r"different ranks. Received: shapes \[\(1, 2\), \(1, 2, 3\)\]"):
        columns.concatenate([np.ones((1, 2, 3)), np.ones((1, 2))])


def test_a_batch_beyond_the_layout_is_refused() -> None:
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint8), (2**11, 2**20), (0, 0))
    with pytest.raises(ValueError, match=r"can hold 2\*\*31 values. Received: shape \(2048, 1048576\)"):
        columns.encode(huge, variable=True)


def test_strings_of_every_kind_of_numpy() -> None:
    given = ["ä", "", "longer"]
    for array in (
        np.array(given),
        np.array(given, object),
        np.array([text.encode() for text in given]),
        np.array([given[0], b"", "longer"], object),
    ):
        assert columns.encode(array).to_pylist() == given
    mixed = np.array(["a", None, 3], object)
    assert columns.encode(mixed).to_pylist() == ["a", "None", "3"]


def test_parts_of_one_column() -> None:
    first, second = values("float32", (3, 2, 4)), values("float32", (2, 5, 1))
    column = columns.encode_parts([first, second], variable=True)
    np.testing.assert_array_equal(columns.decode(column.slice(0, 3)), first)
    np.testing.assert_array_equal(columns.decode(column.slice(3)), second)
    same = columns.encode_parts([first, first[:1]])
    np.testing.assert_array_equal(columns.decode(same), np.concatenate([first, first[:1]]))
    vectors = columns.encode_parts([np.arange(2), np.arange(3)], variable=True)
    assert vectors.to_pylist() == [0, 1, 0, 1, 2]
    none = columns.encode_parts([np.zeros((0, 2, 4), np.float32)], variable=True)
    assert columns.decode(none).shape == (0, 0, 0)
