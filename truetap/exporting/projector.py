"""TensorBoard's embedding projector: recorded activations as points, with who they are and what they look like.

For each layer whose raw values were recorded, the rows of the last exported epoch: a point each, the layer's output
laid flat, NaN as 0. Beside them stand sample, true and predicted label, loss and step; where images were recorded as
inputs of these samples, a sprite shows them. The projector reads whole text files: points and layers have a limit.
"""

from __future__ import annotations

import base64
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from google.protobuf import text_format
from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo, ProjectorConfig

from truetap import rows
from truetap.columns import decode
from truetap.errors import TaskError, TruetapError, TruetapWarning
from truetap.exporting.chosen import Chosen
from truetap.exporting.distributions import raw_paths
from truetap.exporting.naming import valid_text
from truetap.report.images import as_pixels, data_uri, is_picture, shrunk
from truetap.samples import Samples
from truetap.tasks.labels import class_name

__all__ = ["write_projector"]

Array = npt.NDArray[Any]

_CONFIG = "projector_config.pbtxt"  # where the plugin looks for it
_MOST_WIDE = 4096  # values of a layer's output that make a point
_TILE, _SPRITE = 64, 8192  # the longest sides of an image, and of the sprite that browsers take


@dataclass(frozen=True)
class _Points:
    """The rows of one layer.

    Attributes:
        path: The layer.
        phase: The phase.
        epoch: The epoch.
        values: float32 (points, width).
        prints: Fingerprints of the samples.
        steps: The step of each.
        ids: The sample of each.
    """

    path: str
    phase: str
    epoch: int
    values: Array
    prints: Array
    steps: Array
    ids: Array


def write_projector(chosen: Chosen, folder: Path, most_points: int, most_layers: int) -> None:
    """Writes the projector's files into the log folder; nothing where no raw activations were recorded."""
    config = ProjectorConfig()
    found = _points(chosen, most_points)
    for number, points in enumerate(found):
        if number == most_layers:
            warnings.warn(
                f"The projector holds the first {most_layers} of the layers whose activations were recorded. Say "
                "layers= for more, or tables= for others.",
                TruetapWarning,
                stacklevel=2,
            )
            break
        config.embeddings.append(_written(chosen, points, folder, f"projector/{number}"))
    if config.embeddings:
        (folder / _CONFIG).write_text(text_format.MessageToString(config), encoding="utf-8")


def _points(chosen: Chosen, most: int) -> Iterator[_Points]:
    for table, (kind, path) in raw_paths(chosen).items():
        if kind != "activations":
            continue
        for phase, epochs in chosen.parts[table].items():
            part = chosen.part(table, phase, epochs[-1])
            if "sample_id" not in part.columns:
                continue
            points = _taken(part.rows, path, phase, epochs[-1], most)
            if points is not None:
                yield points


def _taken(batches: Sequence[Any], path: str, phase: str, epoch: int, most: int) -> _Points | None:
    held: list[tuple[Array, ...]] = []
    count = 0
    for batch in batches:
        for piece in rows.uniform([batch.slice(0, most - count)]):
            values = decode(piece.column("values"))
            flat = values.reshape(len(values), -1)
            if (
                flat.shape[1] > _MOST_WIDE
                or flat.dtype.kind not in "fiub"
                or (held and held[0][0].shape[1:] != flat.shape[1:])
            ):
                _left_out(
                    path, f"{flat.shape[1]:,} values of each sample, of one length at most {_MOST_WIDE:,} are expected"
                )
                return None
            others = [np.asarray(decode(piece.column(name))) for name in ("fingerprint", "step", "sample_id")]
            held.append((flat.astype(np.float32), *others))
            count += len(piece)
        if count >= most:
            break
    if not held:
        return None
    values, prints, steps, ids = (np.concatenate(each) for each in zip(*held, strict=True))
    return _Points(path, phase, epoch, values, prints, steps, ids)


def _left_out(path: str, why: str) -> None:
    warnings.warn(f"The activations of {path!r} are not in the projector: {why}.", TruetapWarning, stacklevel=3)


def _written(chosen: Chosen, points: _Points, folder: Path, name: str) -> EmbeddingInfo:
    (folder / "projector").mkdir(exist_ok=True)
    with (folder / f"{name}.tsv").open("w", encoding="utf-8", newline="\n") as stream:
        _write_rows(stream, points.values)
    columns = _told(chosen, points)
    with (folder / f"{name}.metadata.tsv").open("w", encoding="utf-8", newline="\n") as stream:
        for line in [list(columns), *zip(*columns.values(), strict=True)]:
            stream.write("\t".join(map(_cell, line)) + "\n")
    info = EmbeddingInfo(
        tensor_name=valid_text(f"{points.path} ({points.phase}, epoch {points.epoch})"),
        tensor_path=f"{name}.tsv",
        tensor_shape=points.values.shape,
        metadata_path=f"{name}.metadata.tsv",
    )
    tiles = _tiles(chosen, points)
    if tiles is not None:
        png = data_uri(_sprite(tiles)).partition(",")[2]
        (folder / f"{name}.png").write_bytes(base64.b64decode(png))
        info.sprite.image_path = f"{name}.png"
        info.sprite.single_image_dim.extend([tiles.shape[2], tiles.shape[1]])
    return info


def _write_rows(stream: IO[str], values: Array) -> None:
    for row in values:  # one at a time: numbers of Python are eight times as large
        plain = np.nan_to_num(row, nan=0.0).tolist()  # the projector reads no NaN
        stream.write("\t".join(f"{value:.7g}" for value in plain) + "\n")


def _cell(value: Any) -> str:
    return " ".join(valid_text(str(value)).split()) or " "


# --- who the points are ---------------------------------------------------------------------------------


def _told(chosen: Chosen, points: _Points) -> dict[str, list[Any]]:
    """Columns of metadata: of each point its sample, and what was said of it in the same epoch."""
    told: dict[str, list[Any]] = {"sample": points.ids.tolist()}
    if points.epoch in chosen.run.sample_epochs.get(points.phase, ()):
        samples = chosen.run.samples(points.phase, points.epoch)
        at = _places(samples, points)
        for name in samples.output_names:
            suffix = f" {name}" if name else ""
            for head, values in _labels(samples[name] if name else samples, at).items():
                told[f"{head}{suffix}"] = values
        losses = samples.loss
        if losses is not None:
            told["loss"] = ["" if here < 0 else f"{losses[here]:.6g}" for here in at]
    told["step"] = points.steps.tolist()
    return told


def _places(samples: Samples, points: _Points) -> list[int]:
    """The row of each point among the samples; -1 where it has none."""
    rows = np.flatnonzero(np.isin(samples.fingerprints, points.prints))
    keys = zip(samples.steps[rows].tolist(), samples.fingerprints[rows].tolist(), strict=True)
    known = dict(zip(keys, rows.tolist(), strict=True))
    return [known.get(key, -1) for key in zip(points.steps.tolist(), points.prints.tolist(), strict=True)]


def _labels(samples: Samples, at: Sequence[int]) -> dict[str, list[str]]:
    """True and predicted classes, by name where they have one; empty where they are no classes, one a sample."""
    try:
        true, pred = samples.true_labels, samples.pred_labels
    except TaskError:
        return {}
    if true is None or pred is None or np.ndim(true) != 1 or np.ndim(pred) != 1:
        return {}
    names = samples.class_names
    label, predicted = (
        ["" if here < 0 else class_name(names, int(each[here])) for here in at] for each in (true, pred)
    )
    right = ["" if here < 0 else "yes" if true[here] == pred[here] else "no" for here in at]
    return {"label": label, "predicted": predicted, "right": right}


# --- what they look like --------------------------------------------------------------------------------


def _tiles(chosen: Chosen, points: _Points) -> Array | None:
    """Pictures of the points, uint8 (points, h, w, channels); None where no images were recorded of them."""
    images = _images(chosen, points)
    if not images:
        return None
    low = min(float(np.nanmin(each)) for each in images.values())
    high = max(float(np.nanmax(each)) for each in images.values())
    side = max(8, min(_TILE, _SPRITE // math.ceil(math.sqrt(len(points.prints)))))
    drawn = {print_: shrunk(as_pixels(each, low, high), side) for print_, each in images.items()}
    blank = np.full_like(next(iter(drawn.values())), 128)
    return np.stack([drawn.get(print_, blank) for print_ in points.prints.tolist()])


def _images(chosen: Chosen, points: _Points) -> Mapping[int, Array]:
    """The first input that is an image, by fingerprint."""
    wanted = set(points.prints.tolist())
    for prints, values in _inputs(chosen, points):
        if values.dtype.kind in "fiub" and is_picture(values.shape[1:], in_order=False):
            found = {each: values[at] for at, each in enumerate(prints.tolist()) if each in wanted}
            if found:
                return found
    return {}


def _inputs(chosen: Chosen, points: _Points) -> Iterator[tuple[Array, Array]]:
    run = chosen.run
    for path in run.inputs.paths:
        try:
            recorded = run.inputs(path, phase=points.phase)
            yield recorded.fingerprints, recorded.values
        except TruetapError:  # none of this phase
            continue
    if points.epoch in run.sample_epochs.get(points.phase, ()):
        samples = run.samples(points.phase, points.epoch)
        for column in rows.names(samples.record_batches, "inputs").values():
            yield samples.fingerprints, rows.array(samples.record_batches, column)


def _sprite(tiles: Array) -> Array:
    """The tiles in rows of as many as there are rows."""
    count, height, width, channels = tiles.shape
    side = math.ceil(math.sqrt(count))
    whole = np.full((side * side, height, width, channels), 255, np.uint8)
    whole[:count] = tiles
    grid = whole.reshape(side, side, height, width, channels).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(grid.reshape(side * height, side * width, channels))
