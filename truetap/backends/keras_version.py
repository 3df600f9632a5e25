"""Which versions of Keras truetap runs on; pyproject.toml has the same floor.

The floor was found by running the tests that docs/capabilities.md names, on three backends, on older and older
versions. A newer Keras than was tested is taken as it comes: what truetap reads of its private names raises where one
has moved (`keras_private`).
"""

from __future__ import annotations

import keras

from truetap.errors import ModelError

__all__ = ["NEWEST", "OLDEST", "check_version"]

OLDEST = (3, 10)
NEWEST = (3, 15)


def check_version(version: str = keras.__version__) -> None:
    """Says it when Keras is too old.

    Args:
        version: That of Keras, as `keras.__version__` has it.

    Raises:
        ModelError: It is older than `OLDEST`.

    Example:
        >>> check_version("3.15.1")
        >>> check_version("3.9.2")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        truetap.errors.ModelError: truetap needs Keras 3.10 or newer. Received: Keras 3.9.2. ...
    """
    major, minor = version.split(".")[:2]
    if (int(major), int(minor)) < OLDEST:
        raise ModelError(
            f"truetap needs Keras {said(OLDEST)} or newer. Received: Keras {version}. Please install a newer one: "
            f"pip install 'keras>={said(OLDEST)}'."
        )


def said(version: tuple[int, int]) -> str:
    """A version as people write it."""
    return ".".join(map(str, version))
