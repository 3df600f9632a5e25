"""A training that its tests kill, watch or starve: `python -m tests.backends.trained_in_a_process FOLDER [options]`."""

from __future__ import annotations

import argparse
import resource
import signal
import time
import warnings

import keras
import numpy as np

import truetap as tt


class Pause(keras.callbacks.Callback):  # type: ignore[misc]
    """So that a kill finds it between steps as well as in them."""

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--file-size", type=int, default=0, help="bytes that a file may have")
    parser.add_argument("--on-error", default="warn")
    options = parser.parse_args()
    x = np.random.default_rng(0).normal(size=(800, 64)).astype("float32")
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64, name="hidden"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    recorder = tt.Recorder(
        options.folder, [tt.Outputs(), tt.Activations("hidden")], flush_seconds=0.5, on_error=options.on_error
    )
    if options.file_size:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_size, options.file_size))
    pause = [] if options.file_size else [Pause()]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, x[:, 0], batch_size=8, epochs=options.epochs, verbose=0, callbacks=[recorder, *pause])
    said = [str(each.message) for each in caught if issubclass(each.category, tt.RecordingWarning)]
    print("trained", len(said), said[0] if said else "")  # noqa: T201


if __name__ == "__main__":
    main()
