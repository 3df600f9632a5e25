"""torch: the state is the model's; a step leaves gradients on the parameters, and draws from torch's generators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from truetap.backends.comparing import called_with


class TorchComparing:
    """See `truetap.backends.comparing.Comparing`."""

    other = None
    most_gradients = 40

    def fit_step(self, model: Any, step: Callable[..., Any], batch: tuple[Any, ...]) -> Any:
        model.train()  # as fit does before its first step
        return step(batch)

    def loop_step(self, model: Any, step: Callable[..., Any], batch: tuple[Any, ...]) -> Any:
        return step(*called_with(step, [batch, (batch,), batch[:2]], "loop_step(*batch) or loop_step(batch)"))

    def forward(self, model: Any, compute: Callable[[], list[Any]]) -> list[Any]:
        model.train()
        with torch.no_grad():
            return compute()

    def gradients(self, model: Any, compute: Callable[[], Any]) -> list[Any]:
        model.train()
        loss = compute()
        values = [variable.value for variable in model.trainable_variables]
        if not loss.requires_grad:
            return [None] * len(values)
        return list(torch.autograd.grad(loss, values, allow_unused=True))

    def apply(self, model: Any, gradients: Sequence[Any]) -> None:
        with torch.no_grad():
            model.optimizer.apply(gradients, model.trainable_variables)

    def concrete(self, value: Any) -> bool:
        return True

    def left_gradients(self, model: Any) -> list[Any] | None:
        found = [variable.value.grad for variable in model.trainable_variables]
        return None if all(gradient is None for gradient in found) else found

    def remember(self, model: Any) -> Callable[[], None]:
        modes = [(module, module.training) for module in model.modules()]
        gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
        host = torch.get_rng_state()
        devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

        def put_back() -> None:
            for module, mode in modes:
                module.training = mode
            for parameter, gradient in gradients:
                parameter.grad = gradient
            torch.set_rng_state(host)
            if devices:
                torch.cuda.set_rng_state_all(devices)

        return put_back


COMPARING = TorchComparing()
