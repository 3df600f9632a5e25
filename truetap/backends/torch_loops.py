"""torch: a loop runs op by op."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from truetap.backends.loops import Variables
from truetap.backends.torch_training import TRAINING, through
from truetap.observe import applied

__all__ = ["TorchLoops"]


class TorchLoops:
    """See `truetap.backends.loops.Loops`."""

    stateless = False
    through = staticmethod(through)

    def compiled(self) -> bool:
        return False

    def replica(self) -> tuple[int, int]:
        return 0, 1

    def ask(self, host: Callable[[Any], Sequence[bool]], argument: Any, count: int) -> Sequence[Any]:
        return host(argument)

    def deliver(self, host: Callable[[Mapping[str, Any]], None], values: Mapping[str, Any]) -> None:
        host(values)

    def settle(self) -> None:
        return None

    @contextmanager
    def watched(
        self,
        model: Any,
        optimizer: Any,
        given: Callable[[Sequence[Any], Sequence[Any]], None],
        before: Variables,
        after: Variables,
    ) -> Iterator[None]:
        with applied(model, optimizer, given):
            yield

    def read(self, variable: Any) -> Any:
        return TRAINING.snapshot(variable)

    def gradient_left(self, variable: Any) -> Any:
        return variable.value.grad


LOOPS = TorchLoops()
