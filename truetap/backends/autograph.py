"""A mark that keeps TensorFlow's AutoGraph out of truetap's own functions.

Inside a user's `tf.function` AutoGraph would rewrite whatever is called there. What it finds marked it calls as it
is; `tf.autograph.experimental.do_not_convert` sets the same mark, but needs TensorFlow. Checked on TensorFlow 2.21.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["as_it_is"]

Function = TypeVar("Function", bound=Callable[..., object])


def as_it_is(function: Function) -> Function:
    """The function, which AutoGraph leaves as it is."""
    function.autograph_info__ = None  # type: ignore[attr-defined]
    return function
