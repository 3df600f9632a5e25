"""What every source of data looks like to the rest: batches drawn one at a time, never ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from truetap.errors import DataError

__all__ = ["Drawn", "Facts", "Source", "as_names", "nothing_came"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One element of a source, as it was drawn.

    Attributes:
        element: What the source gave: `(x, y[, sample_weight])`, a dict, …
        ids: Sample ids that came with it, shape (n,), or None.
        fingerprints: Fingerprints of its inputs, shape (n,), if the source took them already.
    """

    element: Any
    ids: Array | Sequence[Any] | None = None
    fingerprints: Array | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a source says about itself before anything is drawn.

    Attributes:
        kind: Its name in messages, such as "tf.data.Dataset".
        num_batches: Batches in one pass; None when unknown or infinite.
        num_samples: Samples in one pass; None when unknown.
        infinite: Whether it is known to have no end.
        one_shot: Whether a second pass can't be had: drawing ahead would lose batches.
        fresh: Whether every batch has memory of its own. A user's generator may fill the same buffer
            again, so a batch must be done with before the next is drawn.
        shuffles: Whether its order is known to differ from the order of the data behind it;
            None when that can't be told.
        class_names: Names of the classes, when the source carries them.
        expected_ids: The ids that one pass should give, when the source knows them.
    """

    kind: str
    num_batches: int | None = None
    num_samples: int | None = None
    infinite: bool = False
    one_shot: bool = False
    fresh: bool = False
    shuffles: bool | None = None
    class_names: tuple[str, ...] | None = None
    expected_ids: Array | None = field(default=None, compare=False)


class Source(Protocol):
    """A source of batches."""

    @property
    def facts(self) -> Facts:
        """What is known before drawing."""

    def draw(self, limit: int | None) -> Iterator[Drawn]:
        """An iterator over the batches of one pass, at most `limit` of them.

        Nothing is drawn before `next()` asks for it unless `limit` allows it and the source can be
        read again.
        """


def nothing_came(kind: str) -> DataError:
    """The error for a source that gave no batch."""
    return DataError(
        f"The {kind} gave no batch. Expected: one or more; a generator that was read to its end has to be made anew "
        "(or pass the function that makes it)."
    )


def as_names(names: Any) -> tuple[str, ...] | None:
    """Class names as a tuple of strings, or None."""
    return None if names is None else tuple(str(name) for name in np.asarray(names, dtype=object))
