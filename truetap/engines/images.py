"""A folder of images as data: one folder per class, as Keras' `image_dataset_from_directory` reads it.

Classes are the folders' names, sorted; a sample is called by the path of its file; pixels are float32
from 0 to 255. Nothing is resized, since how is part of how a model was trained: images of several
sizes are refused.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from truetap.engines.pieces import OneByOne, Piece
from truetap.engines.units import Part, Unit
from truetap.errors import DataError, TruetapError, UnlabelledDataError

__all__ = ["SUFFIXES", "ImageFiles", "open_images"]

Array = npt.NDArray[Any]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


@dataclass(frozen=True)
class ImageFiles(OneByOne):
    """Images in folders of their classes; all together are one part.

    Attributes:
        given: The folder as it was given, with which the ids begin.
        root: The same folder for any working directory.
        files: Paths within it.
        labels: The class of each.
        class_names: Names of the classes.
        shape: Height, width and channels of the first, which all others must have.
    """

    given: str
    root: str
    files: tuple[str, ...]
    labels: tuple[int, ...]
    class_names: tuple[str, ...] | None
    shape: tuple[int, ...]

    kind = "image folder"

    @property
    def parts(self) -> tuple[Part, ...]:
        """One, of all images: a batch may hold images of two classes."""
        return (Part(self.root, len(self.files), 4 * math.prod(self.shape) * len(self.files)),)

    @property
    def paths(self) -> Iterator[str]:
        """The images."""
        return (os.path.join(self.root, name) for name in self.files)

    def piece(self, unit: Unit) -> Piece:
        """The rows of one unit."""
        started = time.perf_counter()
        names = self.files[unit.start : unit.stop]
        paths = [os.path.join(self.root, name) for name in names]
        x = np.stack([self._checked(_pixels(path), path) for path in paths]).astype(np.float32)
        y = np.asarray(self.labels[unit.start : unit.stop], np.int32)
        ids = [os.path.join(self.given, name) for name in names]
        return Piece((x, y), ids, time.perf_counter() - started)

    def _checked(self, pixels: Array, path: str) -> Array:
        if pixels.shape != self.shape:
            raise DataError(
                f"Images of different sizes don't make a batch. Received: {self.shape} in "
                f"{os.path.join(self.root, self.files[0])!r}, {pixels.shape} in {path!r}. Expected: one size and "
                "number of channels; resize the files, or hand over a tf.data.Dataset, or with engine='ray' a "
                "ray.data.Dataset, that resizes them as in training."
            )
        return pixels


def open_images(root: str) -> ImageFiles:
    """The images below a folder.

    Raises:
        UnlabelledDataError: Images lie in the folder itself, in no folder of a class.
        DataError: The first image can't be read.
    """
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders.sort()
        found += [
            os.path.relpath(os.path.join(folder, name), root)
            for name in sorted(names)
            if name.lower().endswith(SUFFIXES)
        ]
    classes = tuple(sorted({name.split(os.sep)[0] for name in found if os.sep in name}))
    loose = [name for name in found if os.sep not in name]
    if loose or not classes:
        raise UnlabelledDataError(
            f"There are no labels for images in {root!r}. Received: {loose[0] if loose else 'no image'!r} outside "
            "any class. Expected: a folder for each class, such as cats/1.png and dogs/2.png."
        )
    found.sort(key=lambda name: (name.split(os.sep)[0], name))
    index = {name: number for number, name in enumerate(classes)}
    labels = tuple(index[name.split(os.sep)[0]] for name in found)
    shape = _pixels(os.path.join(root, found[0])).shape
    return ImageFiles(root, os.path.abspath(root), tuple(found), labels, classes, shape)


def _pixels(path: str) -> Array:
    try:
        from PIL import Image  # an extra: only images need it
    except ImportError as error:
        raise TruetapError("Reading images needs Pillow. Install it: pip install pillow.") from error
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise DataError(
                    f"The image {path!r} has pixels of mode {image.mode!r}. Expected: 8 bits a channel; read such "
                    "images by a function of your own."
                )
            grey = image.mode in ("1", "L")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except OSError as error:
        raise DataError(f"The image {path!r} can't be read: {error}.") from error
    return pixels[..., np.newaxis] if grey else pixels
