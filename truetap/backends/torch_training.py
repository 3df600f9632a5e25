"""torch: a step runs op by op, so only what is due is watched, and steps in between cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from truetap.backends.training import MAKERS, Feed, Recorded, StepLike
from truetap.observe import replaced
from truetap.store import Worker

__all__ = ["TorchTraining", "through"]


class TorchTraining:
    """See `truetap.backends.training.Training`."""

    exhausted: tuple[type[BaseException], ...] = (StopIteration,)

    def record(self, model: Any, phase: str, step: StepLike, feed: Feed) -> Recorded:
        kind = MAKERS[phase]
        name = f"{kind}_function"
        inner = getattr(model, f"{kind}_step")
        due: list[bool] = []

        def recorded(data: Any) -> dict[str, Any]:
            plan = step.only(due)
            result, extras = step.run(inner, data, [True] * len(plan.in_step), through, plan)
            return {"result": result, "extras": extras}

        before = getattr(model, name)
        try:
            getattr(model, f"make_{name}")(force=True)
            function = getattr(model, name)
        finally:
            setattr(model, name, before)

        def run(data: Any) -> Any:
            due[:] = feed.begin()
            feed.before(self.snapshot)
            with replaced(model, **{f"{kind}_step": recorded}):  # Keras looks it up in every step
                out = function(data)
            feed.end(out["extras"], self.snapshot)
            return out["result"]

        return run

    def once_built(self, model: Any, phase: str, make: Callable[[], Recorded]) -> Recorded:
        return make()

    def worker(self) -> Worker:
        distributed = torch.distributed
        if not distributed.is_available() or not distributed.is_initialized():
            return Worker()
        return Worker(distributed.get_rank(), distributed.get_world_size())

    def snapshot(self, variable: Any) -> Any:
        return variable.value.detach().clone()


def through(reached: dict[str, Any], key: str, value: Any) -> Any:
    """The same value; the gradient that goes back through it is put into `reached[key]`."""

    def keep(gradient: Any) -> None:
        reached.setdefault(key, gradient.detach())

    if value.requires_grad:
        value.register_hook(keep)
    return value


TRAINING = TorchTraining()
