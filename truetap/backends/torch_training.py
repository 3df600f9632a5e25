"""torch: a step runs op by op, so only what is due is watched, and steps in between cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import torch

from truetap.backends.training import MAKERS, Feed, Recorded, StepLike
from truetap.observe import replaced
from truetap.store import Worker

__all__ = ["TorchTraining", "through"]


class TorchTraining:
    """See `truetap.backends.training.Training`."""

    exhausted: tuple[type[BaseException], ...] = (StopIteration,)

    def record(self, model: Any, phase: str, step: StepLike, feed: Feed) -> Recorded:
        if phase == "train":
            for text in _unsynced(model, self.worker()):
                step.learned.say(text)
        kind = MAKERS[phase]
        name = f"{kind}_function"
        inner = getattr(model, f"{kind}_step")

        def recorded(data: Any) -> Any:
            due = feed.begin()
            feed.before(self.snapshot)
            plan = step.only(due)
            result, extras = step.run(inner, data, [True] * len(plan.in_step), through, plan)
            feed.end(extras, self.snapshot)
            return result

        stand_in = {f"{kind}_step": recorded}
        before = getattr(model, name)
        with replaced(model, **stand_in):  # Keras 3.16 takes the step when it makes the function
            try:
                getattr(model, f"make_{name}")(force=True)
                function = getattr(model, name)
            finally:
                setattr(model, name, before)

        def run(data: Any) -> Any:
            with replaced(model, **stand_in):  # and before, in every step
                return function(data)

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


def _unsynced(model: Any, worker: Worker) -> list[str]:
    """Why processes that seem to train one model don't, where that can be told."""
    found = []
    if worker.size > 1 and type(model).train_step is keras.Model.train_step:
        found.append(
            f"torch.distributed runs {worker.size} processes, and the model trains by Keras' own train_step, which "
            "never calls DistributedDataParallel: gradients are not averaged, and each process trains a model of its "
            "own. Expected: a train_step that calls the forward pass of DistributedDataParallel(model)."
        )
    if keras.distribution.distribution() is not None:
        found.append(
            "keras.distribution is set, and Keras 3.15 ignores it on torch: the whole batch is trained on one device. "
            "Expected: torch's DistributedDataParallel, or the JAX backend."
        )
    return found


def through(reached: dict[str, Any], key: str, value: Any) -> Any:
    """The same value; the gradient that goes back through it is put into `reached[key]`."""

    def keep(gradient: Any) -> None:
        reached.setdefault(key, gradient.detach())

    if value.requires_grad:
        value.register_hook(keep)
    return value


TRAINING = TorchTraining()
