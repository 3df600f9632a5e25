"""torch: a loop runs op by op."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from truetap.backends.loops import StatefulLoops
from truetap.backends.torch_training import TRAINING, through

__all__ = ["TorchLoops"]


class TorchLoops(StatefulLoops):
    """See `truetap.backends.loops.Loops`."""

    through = staticmethod(through)

    def compiled(self) -> bool:
        return False

    def replica(self) -> tuple[int, int]:
        return 0, 1

    def ask(self, host: Callable[[Any], Sequence[bool]], argument: Any, count: int) -> Sequence[Any]:
        return host(argument)

    def deliver(self, host: Callable[[Mapping[str, Any]], None], values: Mapping[str, Any]) -> None:
        host(values)

    def read(self, variable: Any) -> Any:
        return TRAINING.snapshot(variable)

    def gradient_left(self, variable: Any) -> Any:
        return variable.value.grad


LOOPS = TorchLoops()
