"""A user's program that touches every public name: what a type checker sees of truetap from outside.

mypy and pyright, both strict, find nothing in it (`make check`); test_program.py runs it, and sees that no public name
is missing. Keras has no types of its own, so a model is `Any` here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import truetap as tt

Array = npt.NDArray[np.float32]
Data = tuple[Array, npt.NDArray[np.int64]]

keras: Any = importlib.import_module("keras")


def data() -> Data:
    random = np.random.default_rng(3)
    x = random.normal(size=(128, 8)).astype("float32")
    return x, (x[:, 0] > 0).astype("int64") + (x[:, 1] > 0)


def model(loss: Any = "sparse_categorical_crossentropy") -> Any:
    layers = [keras.layers.Dense(16, activation="relu", name="hidden"), keras.layers.Dense(3, activation="softmax")]
    made = keras.Sequential([keras.Input((8,)), *layers])
    made.compile("adam", loss, metrics=["accuracy"])
    return made


class Quiet:
    """A rule that finds nothing."""

    name = "quiet"
    needs: tuple[str, ...] = ("curve",)
    after: tuple[str, ...] = ()

    def check(self, evidence: Any) -> Iterator[tt.Finding]:
        if len(evidence.curve) < 0:
            yield tt.Finding(self.name, tt.rules.Severity.NOTE, "A curve.", "It can't be.", "Nothing.")


class Largest(tt.reducers.Reducer):
    """A reducer of one's own."""

    name = "largest"

    def compute(self, values: Any, axis: int | None) -> dict[str, Any]:
        return {"largest": keras.ops.max(keras.ops.absolute(values), axis=axis)}

    def merge(self, one: tt.reducers.State, other: tt.reducers.State) -> tt.reducers.State:
        return {"largest": np.maximum(one["largest"], other["largest"])}

    def result(self, state: tt.reducers.State) -> npt.NDArray[Any]:
        return np.asarray(state["largest"])


def pairs(folder: Path) -> None:
    """Labels and predictions, outside of a training."""
    known, (x, y) = model(), data()
    truth: Any = tt.ground_truth((x, y))
    samples: tt.Samples = tt.collect(known, (x, y), batch_size=32, ids=range(128), layers="hidden", inputs=True)
    assert len(samples) == len(truth)
    ids: npt.NDArray[Any] = samples.ids
    losses: npt.NDArray[Any] | None = samples.loss
    outputs: Mapping[str, npt.NDArray[Any]] = samples.layers
    names: tuple[str, ...] | None = samples.class_names
    print(ids.shape, losses, list(outputs), names, samples.output_names, samples.seen, samples.notices)
    print(samples.y_true, samples.y_pred, samples.sample_weight, samples.mask, samples.inputs, samples.weighted_loss)
    print(
        samples.true_labels, samples.pred_labels, samples.fingerprints, samples.steps, samples.epochs, samples.positions
    )

    evaluation: tt.Evaluation | Mapping[str, tt.Evaluation] = samples.evaluate(by={"right": x[:, 0] > 0})
    if isinstance(evaluation, tt.Evaluation):
        metrics: Mapping[str, float] = evaluation.metrics
        print(evaluation, metrics["accuracy"], evaluation.per_class, evaluation.confusion, evaluation.to_dict())
        print(
            evaluation.to_pandas("per_class").shape,
            evaluation.slices["right"].num_samples,
            evaluation.loss,
            evaluation.task,
        )
    hardest: tt.Samples = samples.hardest(5)
    part: tt.Samples = samples[hardest.positions] if hardest.positions is not None else samples[:5]
    print(
        part,
        samples.to_arrow().num_rows,
        samples.to_pandas().shape,
        samples.drop_duplicates(),
        samples.identify((x, y)),
    )
    for batch in tt.stream(known, (x, y), batch_size=64):
        print(len(batch), next(batch.batches()).task().task)

    written = tt.collect(known, tt.with_ids((x, y), [f"row-{row}" for row in range(128)]), to=folder / "pairs")
    alignment: tt.Alignment = tt.check_alignment((x, y))
    print(written.ids[0], bool(alignment), alignment.aligned, alignment.same_samples, alignment.same_labels)
    print(alignment.rows, alignment.matching, alignment.first_difference)


def numbers_and_sequences() -> None:
    """What is there for regression, and for a label at each step."""
    numbers = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    numbers.compile("sgd", "mse")
    x, y = data()
    samples = tt.collect(numbers, (x, y.astype("float32")))
    residual: npt.NDArray[Any] = samples.residual
    y_true, y_pred, weight = next(samples.pairs())
    print(residual.shape, y_true.shape, y_pred.shape, weight, [batch.num_rows for batch in samples.record_batches])

    steps = keras.Sequential([keras.Input((4, 8)), keras.layers.Dense(3, activation="softmax")])
    steps.compile("sgd", "sparse_categorical_crossentropy")
    flat: tt.Samples = tt.collect(steps, (x.reshape(32, 4, 8), y.reshape(32, 4))).flat_valid()
    print(len(flat), flat.timestep[:4])


def recorded(folder: Path) -> tt.Run:
    """A training with every tap."""
    known, (x, y) = model(), data()
    selector = tt.select("hidden") | tt.select("*") & ~tt.select("dense*")
    print(selector.show(known), selector.paths(known))
    recorder = tt.Recorder(
        folder / "run",
        taps=[
            tt.Outputs(),
            tt.Inputs(samples=16),
            tt.Activations(selector, every=2, reduce=["mean", tt.reducers.Quantiles([0.5]), Largest()]),
            tt.Activations("hidden", every="epoch", samples=8),
            tt.ActivationGradients("hidden", steps=[0, 3], reduce="norm"),
            tt.Gradients("*kernel", start=1, stop=6, reduce=["norm", "nonfinite"]),
            tt.Weights(every="epoch"),
            tt.Updates(every=2),
            tt.OptimizerState(every="epoch", reduce="l2"),
            tt.Tapped("right"),
        ],
        when_full="block",
        max_bytes=100_000_000,
    )
    seen: list[str] = []

    def said(finding: tt.Finding) -> None:
        seen.append(f"{finding.rule} {finding.severity} {finding.seen} {finding.numbers} {finding.to_dict()}")

    def share(y_true: Any, y_pred: Any) -> float:
        return float(np.equal(y_true, y_pred).mean())

    callbacks = [
        recorder,
        tt.EpochLoss(),
        tt.EpochMetric(share, of="labels", name="share"),
        tt.Watch(on=said, ignore=["loss_not_falling"]),
    ]
    known.fit(x[:96], y[:96], validation_data=(x[96:], y[96:]), epochs=3, verbose=0, callbacks=callbacks)
    recorder.finish()
    print(seen, recorder.path, tt.LiveCurves(recorder))
    return tt.open(folder / "run")


def read(run: tt.Run, folder: Path) -> None:
    """What was recorded."""
    x, y = data()
    path: str = run.path
    phases: dict[str, list[int]] = run.phases
    print(
        path,
        phases,
        run.complete,
        run.tables,
        run.metadata,
        run.output_names,
        run.sample_epochs,
        run.weights.paths,
    )
    samples: tt.Samples = run.samples(phase="train", epoch=-1)
    values: npt.NDArray[Any] = run.activations("hidden").values
    means: npt.NDArray[Any] = run.activations("hidden").statistics["mean"]
    norms: npt.NDArray[Any] = run.gradients("hidden/kernel").statistics["norm"]
    print(values.shape, means, norms, [(name, each.steps) for name, each in run.updates().items()])
    print(run.activation_gradients(), run.weights(epoch=0), run.optimizer_state(), run.inputs(), run.tapped())
    print(run.scalars().num_rows, run.epochs().num_rows, run.overhead().rows)
    rows: list[Any] = run.sql("select count(*) from samples where phase = $phase", phase="val").fetchall()
    print(rows, run.identify((x, y)), run.history(samples.ids[0]).num_rows)
    print(run.dynamics().num_rows, run.label_issues().num_rows, run.hardest(3, by="last_loss").num_rows)
    print(run.outliers("hidden").num_rows, run.reader.complete, run.duplicates().num_rows)
    print(run.overlap("train", "val").num_rows, run.verify())
    comparison: tt.Comparison = run.compare(tt.open(path), resamples=100)
    print(comparison.metrics.num_rows, comparison.newly_wrong.num_rows, comparison.findings, len(comparison.to_dict()))
    files: tuple[str, ...] = run.export(folder / "tables")
    report: str = run.report(folder / "report.html", data=(x, y))
    pruned: tt.Pruned = tt.prune(path, keep_last=1, dry_run=True)
    print(len(files), report, pruned.rows, pruned.freed_bytes)


def said_of(run: tt.Run) -> None:
    """What is wrong: rules."""
    registered: Quiet = tt.rules.register(Quiet())
    try:
        report: tt.Report = run.diagnose(ignore=["loss_not_falling"])
    finally:
        tt.rules.unregister(registered.name)
    findings: tuple[tt.Finding, ...] = report.findings
    print(bool(report), report.ok, report.wrong, findings, report.checked, report.skipped)
    print(report.head, report.count, report.subject, report.backend, report.to_dict())
    linted: tt.Report = tt.lint(model(), data(), batch_size=64)
    linted.raise_if_wrong()


def losses() -> None:
    """Losses that are right, and whether one is."""
    x, y = data()

    def of_inputs(y_true: Any, y_pred: Any, *, x: Any) -> Any:
        return keras.ops.mean(keras.ops.square(y_pred), axis=-1) * keras.ops.mean(x, axis=-1)

    def tapped(y_true: Any, y_pred: Any) -> Any:
        return -keras.ops.log(tt.tap(keras.ops.max(y_pred, axis=-1), "right"))

    def together(y_true: Any, y_pred: Any) -> Any:
        return keras.ops.sum(y_pred, axis=-1)

    made: list[Callable[..., Any]] = [
        tt.losses.Masked("sparse_categorical_crossentropy", mask_value=-1),
        tt.losses.ClassWeighted("sparse_categorical_crossentropy", {0: 1.0, 1: 2.0, 2: 5.0}),
        tt.losses.Contextual(of_inputs),
        tt.losses.Joint(together),
        tapped,
    ]
    report: tt.LossReport = tt.check_loss(made[1], y[:32], np.full((32, 3), 1 / 3, np.float32))
    print(made, report, report.findings, report.loss)
    known = model()
    agreement: tt.Agreement = tt.compare_with_fit(known, known.train_step, (x[:32], y[:32]))
    agreement.raise_if_different()
    print(
        bool(agreement),
        agreement.agrees,
        agreement.notes,
        agreement.findings,
        agreement.updates,
        agreement.loss_fit,
        agreement.loss_loop,
    )


def loop(folder: Path) -> None:
    """A loop of one's own, and a run that goes on."""
    known, (x, y) = model(), data()
    with tt.Recorder(folder / "loop") as recorder:
        for epoch in range(2):
            with recorder.step(known, epoch=epoch, phase="test") as step:
                y_pred = known(x[:32])
                losses = keras.losses.sparse_categorical_crossentropy(y[:32], y_pred)
                step.log(y_true=y[:32], loss=losses, total_loss=keras.ops.mean(losses))
    with tt.Recorder(folder / "loop", resume=True).attach(known) as attached:
        known.train_on_batch(x[:32], y[:32])
        attached.begin_epoch()
    print(tt.open(folder / "loop"))


def errors() -> Iterable[type[Exception]]:
    """Every error and warning; what was received is in the text, and what came until then is kept."""
    try:
        tt.open("nowhere")
    except tt.StoreError as error:
        print(error)
    try:
        tt.collect(model(), iter([data()]), steps=2)
    except tt.DataEndedEarly as error:
        kept: tt.Samples | None = error.samples
        print(error, kept)
    yield from (tt.TruetapError, tt.DataError, tt.IdError, tt.LengthError, tt.StructureError, tt.UnlabelledDataError)
    yield from (tt.LayerError, tt.LossError, tt.ModelError, tt.TapError, tt.TaskError, tt.UnknownMetricError)
    yield from (tt.DamagedRunError, tt.NotRecordedError, tt.NotUploadedError, tt.RunExistsError, tt.DiagnosisError)
    yield from (tt.TruetapWarning, tt.DataWarning, tt.DiagnosisWarning, tt.RecordingWarning)


def sent(run: tt.Run, url: str) -> str:
    """A run in a store."""
    return tt.upload(run.path, url)


def main(folder: Path) -> None:
    """All of it but a store."""
    print(tt.__version__)
    pairs(folder)
    numbers_and_sequences()
    run = recorded(folder)
    read(run, folder)
    said_of(run)
    losses()
    loop(folder)
    print(len(list(errors())))
