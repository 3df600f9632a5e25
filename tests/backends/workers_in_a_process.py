"""One of two workers that train one model together: `… FOLDER RANK PORT`; what a test compares with is left there.

torch: `DistributedDataParallel` with a `train_step` of the model's own; JAX: `keras.distribution` over two processes.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import keras

import truetap as tt
from tests.backends.devices_in_a_process import data, network, weights

BACKEND = os.environ["KERAS_BACKEND"]
TAPS = [
    tt.Outputs(),
    tt.Activations("hidden", reduce=["mean", "max"]),
    tt.Activations("last", samples=3),
    tt.Gradients("*", reduce="norm"),
    tt.Inputs(samples=2),
    tt.Weights("hidden/kernel", every=1),
]


def torch_model(rank: int, port: str) -> tuple[Any, Any]:
    """A model whose step calls the forward pass of DDP, and this rank's samples; 23 of them: one comes twice."""
    import torch

    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)

    class Parallel(keras.Sequential):  # type: ignore[misc]
        def train_step(self, batch: Any) -> Any:
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
            self.zero_grad()
            y_pred = self.ddp(x)
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred, training=True)
            self._loss_tracker.update_state(loss, sample_weight=len(x))
            loss.backward()
            trainable = list(self.trainable_weights)
            with torch.no_grad():
                self.optimizer.apply([weight.value.grad for weight in trainable], trainable)
            return self.compute_metrics(x, y, y_pred)

    plain = network()
    model = Parallel(plain.layers)
    model.set_weights(weights())
    model.compile(keras.optimizers.SGD(0.05), "mse", metrics=["mae"])
    object.__setattr__(model, "ddp", torch.nn.parallel.DistributedDataParallel(model))
    x, y = (torch.as_tensor(each[:23]) for each in data())
    pairs = torch.utils.data.TensorDataset(x, y)
    sampler = torch.utils.data.DistributedSampler(pairs, num_replicas=2, rank=rank, shuffle=False)
    return model, torch.utils.data.DataLoader(pairs, batch_size=4, sampler=sampler)


def jax_model(rank: int, port: str) -> tuple[Any, Any]:
    """A model that is laid over two processes, and the batches of both, of which Keras gives each its share."""
    import tensorflow as tf

    keras.distribution.initialize(f"127.0.0.1:{port}", 2, rank)
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    return network(), tf.data.Dataset.from_tensor_slices(data()).batch(8)


def main(folder: Path, rank: int, port: str) -> None:
    found: dict[str, Any] = {}
    model, loader = {"torch": torch_model, "jax": jax_model}[BACKEND](rank, port)
    recorder = tt.Recorder(folder / "run", TAPS, on_error="raise")
    history = model.fit(loader, epochs=2, verbose=0, callbacks=[recorder], shuffle=False)
    found["history"] = history.history
    found["weights"] = [each.tolist() for each in model.get_weights()]
    model.evaluate(loader, verbose=0, callbacks=[recorder])
    recorder.finish()
    (folder / f"found-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
