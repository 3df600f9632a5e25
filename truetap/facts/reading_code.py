"""What the code of a user's `call` says of it, without running it: the globals it reads, and what it makes of them.

Only names are followed that are looked up in modules (`keras.random.dropout`, `layers.Dense`): enough for what people
write, and nothing that is imported or run.
"""

from __future__ import annotations

import dis
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import keras

__all__ = ["drops_always", "global_names", "looked_up"]


def global_names(code: CodeType) -> list[str]:
    """The names of globals in a function and in the functions and comprehensions inside it."""
    names = [str(each.argval) for each in dis.get_instructions(code) if each.opname == "LOAD_GLOBAL"]
    inner = (global_names(each) for each in code.co_consts if isinstance(each, CodeType))
    return list(dict.fromkeys([*names, *(name for some in inner for name in some)]))


def looked_up(function: FunctionType) -> Iterator[Any]:
    """What a function looks up in its globals, and in modules among them."""
    value: Any = None
    for each in dis.get_instructions(function):
        if each.opname == "LOAD_GLOBAL":
            value = function.__globals__.get(str(each.argval))
        elif each.opname in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(value, ModuleType):
            value = getattr(value, str(each.argval), None)
        elif each.opname not in ("PUSH_NULL", "CACHE"):
            value = None
        if value is not None:
            yield value


def drops_always(layer: Any) -> bool:
    """Whether a user's layer calls `keras.random.dropout` and never looks at `training`."""
    call = getattr(type(layer), "call", None)
    if not isinstance(call, FunctionType) or "training" in (*call.__code__.co_varnames, *call.__code__.co_names):
        return False
    return any(value is keras.random.dropout for value in looked_up(call))
