"""One of two workers that run one model together: `… FOLDER RANK PORT`; what a test compares with is left there.

torch: `DistributedDataParallel` with a `train_step` of the model's own; JAX: `keras.distribution` over two processes
of two devices each; TensorFlow: `MultiWorkerMirroredStrategy`, under which Keras can predict and nothing else.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

BACKEND = os.environ["KERAS_BACKEND"]
if BACKEND == "tensorflow":
    first = int(sys.argv[3])
    cluster = {"worker": [f"127.0.0.1:{first}", f"127.0.0.1:{first + 1}"]}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": int(sys.argv[2])}})

import keras  # noqa: E402  after the cluster is told
import numpy as np  # noqa: E402

import truetap as tt  # noqa: E402
from tests.backends.devices_in_a_process import data, network, weights  # noqa: E402

TAPS = [
    tt.Outputs(),
    tt.Activations("hidden", reduce=["mean", "max"]),
    tt.Activations("last", samples=3),
    tt.Gradients("*", reduce="norm"),
    tt.Inputs(samples=2),
    tt.Weights("hidden/kernel", every=1),
]


def torch_model(rank: int, port: str) -> tuple[Any, Any]:
    """A model whose step calls the forward pass of DDP, and this rank's samples: of 23, so that one comes twice."""
    import torch

    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)

    class Parallel(keras.Sequential):  # type: ignore[misc]
        def train_step(self, batch: Any) -> Any:
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
            self.zero_grad()
            y_pred = self.ddp(x)
            loss = self.compute_loss(x=x, y=y, y_pred=y_pred, training=True)
            loss.backward()
            trainable = list(self.trainable_weights)
            with torch.no_grad():
                self.optimizer.apply([weight.value.grad for weight in trainable], trainable)
            return self.compute_metrics(x, y, y_pred)

    model = Parallel(network().layers)
    model.set_weights(weights())
    model.compile(keras.optimizers.SGD(0.05), "mse", metrics=["mae"])
    object.__setattr__(model, "ddp", torch.nn.parallel.DistributedDataParallel(model))
    pairs = torch.utils.data.TensorDataset(*(torch.as_tensor(each[:23]) for each in data()))
    sampler = torch.utils.data.DistributedSampler(pairs, num_replicas=2, rank=rank, shuffle=False)
    return model, torch.utils.data.DataLoader(pairs, batch_size=4, sampler=sampler)


def jax_model(rank: int, port: str) -> tuple[Any, Any]:
    """A model that is laid over two processes, and the batches of both, of which Keras gives each its share."""
    import tensorflow as tf

    keras.distribution.initialize(f"127.0.0.1:{port}", 2, rank)
    keras.distribution.set_distribution(keras.distribution.DataParallel())
    return network(), tf.data.Dataset.from_tensor_slices(data()).batch(8)


def train(folder: Path, rank: int, port: str, found: dict[str, Any]) -> None:
    """Two epochs and an evaluation; then the run goes on for one more."""
    model, batches = {"torch": torch_model, "jax": jax_model}[BACKEND](rank, port)
    with tt.Recorder(folder / "run", TAPS, on_error="raise") as recorder:
        found["history"] = model.fit(batches, epochs=2, verbose=0, callbacks=[recorder], shuffle=False).history
        found["evaluated"] = model.evaluate(batches, verbose=0, callbacks=[recorder])
    found["callbacks"] = []
    for callback in (tt.Watch(), tt.EpochLoss()):
        try:
            model.fit(batches, verbose=0, callbacks=[tt.Recorder(folder / "unused", resume=True), callback])
        except tt.TapError as error:
            found["callbacks"].append(str(error))
    try:
        tt.Recorder(folder / "run")
    except tt.RunExistsError as error:
        found["refused"] = str(error)
    with tt.Recorder(folder / "run", TAPS, on_error="raise", resume=True) as recorder:
        model.fit(batches, epochs=1, verbose=0, callbacks=[recorder], shuffle=False)
    found["weights"] = [each.tolist() for each in model.get_weights()]
    if BACKEND == "jax":
        try:
            model.predict(batches, verbose=0, callbacks=[tt.Recorder(folder / "predicted")])
        except tt.ModelError as error:
            found["predict"] = str(error)


def without_ddp(folder: Path, found: dict[str, Any]) -> None:
    """Keras' own step, whose gradients nobody averages, and a distribution that Keras ignores."""
    x, y = data()
    try:
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=["cpu:0"]))
        found["distributed"] = True
    except AttributeError:  # older Keras has no distribution on torch at all
        found["distributed"] = False
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with tt.Recorder(folder / "unsynced") as recorder:
            network().fit(x, y, verbose=0, callbacks=[recorder])
    found["warned"] = [str(each.message) for each in caught if issubclass(each.category, tt.RecordingWarning)]


def predict(folder: Path, found: dict[str, Any]) -> None:
    import tensorflow as tf

    with tf.distribute.MultiWorkerMirroredStrategy().scope():
        model = network()
    with tt.Recorder(folder / "run", on_error="raise") as recorder:
        predicted = model.predict(data(22)[0], batch_size=8, verbose=0, callbacks=[recorder])
        found["predicted"] = predicted.tolist()
    try:
        with tt.Recorder(folder / "refused") as recorder, recorder.attach(model):
            pass
    except tt.ModelError as error:
        found["refused"] = str(error)


def main(folder: Path, rank: int, port: str) -> None:
    found: dict[str, Any] = {}
    if BACKEND == "tensorflow":
        predict(folder, found)
    else:
        train(folder, rank, port, found)
    if BACKEND == "torch":
        without_ddp(folder, found)
    (folder / f"found-{rank}.json").write_text(json.dumps(found, default=np.ndarray.tolist))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
