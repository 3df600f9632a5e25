"""A loop under a strategy of two replicas, in a process of its own: TensorFlow takes no second CPU once it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

import truetap as tt

N = 22


def main(path: str) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    x = np.arange(N * 3, dtype="float32").reshape(N, 3) / 66
    y = np.sum(x, axis=1, keepdims=True)
    with strategy.scope():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, use_bias=False)])
        model.layers[0].kernel.assign(np.ones((3, 1)) / 2)
        data = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices((x, y)).batch(8))
        recorder = tt.Recorder(Path(path) / "run")

        def step(x: Any, y: Any) -> None:
            with recorder.step(model, phase="val") as said:
                y_pred = model(x)
                said.log(x=x, y_true=y, y_pred=y_pred, loss=ops.square(y - y_pred))

        run = tf.function(lambda batch: strategy.run(step, batch), autograph=False)
        for _ in range(2):
            for batch in data:
                run(batch)
            recorder.begin_epoch()
        recorder.finish()
        refused = tt.Recorder(Path(path) / "refused", tt.Activations())

        def refusing(x: Any) -> None:
            with refused.step(model, phase="train"):
                model(x)

        try:
            strategy.run(refusing, (tf.constant(x),))
        except tt.TapError as error:
            sys.stdout.write(str(error))


if __name__ == "__main__":
    main(sys.argv[1])
