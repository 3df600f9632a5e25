"""What is known of a collection besides its rows: plain data that goes into a run's manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from truetap.json_values import metadata_read
from truetap.tasks import Hint

__all__ = ["About", "column"]


def column(kind: str, name: str = "") -> str:
    """The name of a column: "y_pred" of a single output, "y_pred/age" of one among several.

    Example:
        >>> column("y_pred"), column("y_pred", "age")
        ('y_pred', 'y_pred/age')
    """
    return f"{kind}/{name}" if name else kind


@dataclass(frozen=True, slots=True)
class About:
    """Facts of one collection.

    Attributes:
        outputs: Names of the model's outputs in declared order; ("",) for a single one.
        shape: Their structure, with names for leaves.
        x_shape: The structure of the inputs, with paths for leaves.
        columns: Of a dict input, the columns that the model took; else None.
        hints: What the model and its loss say of each output.
        class_names: Names of the classes, from the data.
        source: The kind of data.
        model: The model's name.
        backend: Keras' backend.
        expected_steps: Batches that were to come, when known.
        expected_samples: Samples that were to come, when known.
        notices: What was said on the way.
    """

    outputs: tuple[str, ...] = ("",)
    shape: Any = ""
    x_shape: Any = ""
    columns: tuple[str, ...] | None = None
    hints: Mapping[str, Hint] = field(default_factory=dict)
    class_names: tuple[str, ...] | None = None
    source: str = ""
    model: str = ""
    backend: str = ""
    expected_steps: int | None = None
    expected_samples: int | None = None
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        plain = asdict(self)
        plain["hints"] = {name: asdict(hint) for name, hint in self.hints.items()}
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> About:
        """The inverse of `to_json`; unknown keys of newer versions are passed over.

        Raises:
            DamagedRunError: The values aren't of the kinds that `to_json` gives.
        """
        with metadata_read("collect", plain):
            return cls._from_json(plain)

    @classmethod
    def _from_json(cls, plain: Mapping[str, Any]) -> About:
        known = {key: value for key, value in plain.items() if key in cls.__dataclass_fields__}
        known["outputs"] = tuple(known.get("outputs", ("",)))
        known["notices"] = tuple(known.get("notices", ()))
        for key in ("class_names", "columns"):
            known[key] = None if known.get(key) is None else tuple(known[key])
        known["hints"] = {name: Hint(**hint) for name, hint in known.get("hints", {}).items()}
        return cls(**known)
