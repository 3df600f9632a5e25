"""A run on disk, read back: `tt.open(path)`.

A run may be finished, still being written, or left behind by a killed process: what was confirmed is
there, and each call sees what is confirmed by then. Opening reads the manifest only; values are
mapped into memory, or read by DuckDB, when they are asked for. Nothing of a run is ever executed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from truetap.dynamics import dynamics, hardest, label_issues
from truetap.dynamics.subject import Subject
from truetap.errors import StoreError
from truetap.outliers import outliers
from truetap.reading.choice import Epochs, choose_epochs, choose_phase, spans
from truetap.reading.history import history
from truetap.reading.identify import identify, read_names
from truetap.reading.names import IdentifyReport, Names
from truetap.reading.overhead import OverheadSummary
from truetap.reading.recorded import Filter
from truetap.reading.recordings import Recordings
from truetap.reading.sample_rows import Alike, Named
from truetap.reading.scalars import epochs_table, scalars_table
from truetap.reading.state import State
from truetap.reading.tables import Tables
from truetap.repeats import duplicates, overlap
from truetap.samples import Samples
from truetap.store import Problem, RunReader
from truetap.store.place import place_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import duckdb

    from truetap.comparison import Comparison
    from truetap.rules import Report, Rule

__all__ = ["Run", "open"]


class Run:
    """A recorded run, or one that `tt.collect(…, to=…)` wrote.

    Attributes:
        path: The folder, or its URL.
    """

    def __init__(self, path: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> None:
        self.path: str = os.fspath(path)
        self._place = place_of(path, storage_options)
        self._read = State(self._place)
        self._unkept: Names | None = None  # names that could not be kept in the run

    # --- what there is ----------------------------------------------------------------------------

    @property
    def reader(self) -> RunReader:
        """The store beneath, as it stands now: tables, batches, checks."""
        return self._tables.reader

    @property
    def complete(self) -> bool:
        """Whether the writer came to its end."""
        return self.reader.complete

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables; `run.sql` knows them under these."""
        return self.reader.tables

    @property
    def metadata(self) -> dict[str, Any]:
        """What the recorder kept with the run: the model's name, the backend, the taps, sessions."""
        return dict(self.reader.metadata)

    @property
    def phases(self) -> dict[str, list[int]]:
        """The phases of which anything is recorded, with the epochs of each: {"train": [0, 1], "val": [1]}."""
        tables = self._tables
        found: dict[str, set[int]] = {}
        for table in ("scalars", "samples"):
            for phase, epochs in tables.epochs(table).items():
                found.setdefault(phase, set()).update(epochs)
        return {phase: sorted(epochs) for phase, epochs in found.items()}

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the model's outputs; ("",) of a single one."""
        return self._state.about.outputs

    @property
    def sample_epochs(self) -> dict[str, list[int]]:
        """The phases of which samples are recorded, with the epochs of each."""
        return {phase: list(epochs) for phase, epochs in self._tables.epochs("samples").items()}

    # --- samples ----------------------------------------------------------------------------------

    def samples(self, phase: str | None = None, epoch: Epochs = None) -> Samples:
        """The recorded samples: truth, prediction, loss and weight as the real steps had them.

        Args:
            phase: "train", "val", "test" or "predict"; "train" if there is any, else the only one.
            epoch: A number, several (a list, a range), or None for all. Negative ones count from the
                last epoch that is recorded: -1 is the last.

        Returns:
            The rows in the order of the steps, mapped or read a part at a time. Over several epochs a
            sample stands once in each; `samples.epochs` and `samples.steps` say where.

        Raises:
            NotRecordedError: There is no such phase or epoch; those there are, are listed.
            StoreError: The run holds no samples.

        Example:
            >>> run.samples(epoch=-1).epochs
            array([1, 1, 1, 1], dtype=int32)
        """
        state = self._state
        tables = state.tables
        self._need(tables, "samples", "tt.Outputs(), which a Recorder has by itself, or tt.collect(…, to=…)")
        recorded = tables.epochs("samples")
        if not recorded:
            self._refuse_phase(phase, epoch)
            picked = tables.pick_all("samples")
        else:
            chosen = choose_phase(phase, recorded)
            picked = tables.pick("samples", chosen, choose_epochs(epoch, recorded[chosen], tables.where(chosen)))
        alike = Alike(picked)
        return Samples(alike if state.names is None else Named(alike, state.names), state.about)

    def history(self, sample_id: Any) -> pa.Table:
        """One sample's life: a row for each step that it was in.

        Args:
            sample_id: What it is called: by `run.identify`, by the ids it was recorded with, or by the
                fingerprint of its input.

        Returns:
            A table ordered by epoch: phase, epoch, step, batch, position, loss, true_label, pred_label
            (of classes), y_true, y_pred, and what else was recorded; `true_label/age` and so on for
            several outputs.

        Raises:
            IdError: No recorded sample is called so.

        Example:
            >>> run.history(102).select(["phase", "epoch", "step"]).to_pylist()[0]
            {'phase': 'train', 'epoch': 0, 'step': 1}
        """
        state = self._state
        self._need(state.tables, "samples", "tt.Outputs(), which a Recorder has by itself, or tt.collect(…, to=…)")
        return history(state.tables, sample_id, names=state.names, about=state.about, tasks=state.tasks)

    def identify(self, data: Any, ids: Any = None, *, steps: int | None = None) -> IdentifyReport:
        """Names the recorded samples by walking the data once, in any order, and comparing fingerprints.

        The names are kept in the run (table `names`); of a run that is being written, or can't be
        written, they last as long as this object. A second call with other data adds their names.

        Args:
            data: Any source that `collect` takes, with the very inputs that the model was given.
            ids: One name per sample in the order of the data, whole numbers or strings; a key; a
                function; None for the names that the data carry (file paths, `tt.with_ids`), else row
                numbers in the order of this walk.
            steps: Number of batches to walk.

        Returns:
            A report that prints itself: how many samples of each phase have a name now, identical
            inputs, and samples that were both trained and validated on.

        Raises:
            IdError: No recorded sample is in the data; or a name would stand for two samples; or row numbers would
                be names in data that give another order each time (of data that don't say, the first rows are read
                twice).
        """
        state = self._state
        names, report = identify(
            state.tables,
            data,
            ids,
            steps=steps,
            columns=state.about.columns,
            earlier=state.names,
            naming=read_names(state.tables)[1] + 1,
        )
        self._unkept = None if report.kept else names
        self._read = State(self._place, self._unkept)
        return report

    # --- what the training says of samples ----------------------------------------------------------

    def dynamics(self, phase: str | None = None, *, output: str | None = None, epoch: Epochs = None) -> pa.Table:
        """How each sample was learned: training dynamics, from the recorded steps alone.

        A step's predictions precede its update. Definitions and papers are in `truetap.dynamics.table`.

        Args:
            phase: "train"; or "val", of samples that were never trained on. None for "train" if there is any, else the
                only one.
            output: The output, of a model with several.
            epoch: A number, several, or None for all. Negative ones count from the last.

        Returns:
            A row for each sample and label, in the order in which they first came: sample_id; of classes
            label, confidence, variability, correctness, forgetting, first_learned, aum, el2n; of numbers
            mean_residual, mean_absolute_residual, variability, sign_consistency; mean_loss, last_loss,
            epochs (in which it came) and visits (times that it came). Visits without a label, and those
            whose prediction isn't finite, are left out.

        Raises:
            NotRecordedError: There is no such phase or epoch.
            TaskError: There are no labels in it, or a label for each step or pixel.

        Example:
            >>> run.dynamics().select(["sample_id", "label", "confidence", "mean_loss"]).to_pylist()[1]
            {'sample_id': 101, 'label': 1, 'confidence': 0.5, 'mean_loss': 0.375}
        """
        return dynamics(self._subject(phase, output, epoch))

    def label_issues(self, phase: str | None = None, *, output: str | None = None, epoch: Epochs = None) -> pa.Table:
        """Labels that are probably wrong, the most suspicious first; no second training.

        Which epochs count is found from the record: those in which samples are steadily predicted as
        another class, before a model that memorises knows them by heart. Noise that people make is much
        harder to find than noise made at random: expect the order to be worth reading, not right.

        Args:
            phase: "train"; or "val", of samples that were never trained on. None for "train" if there is any, else the
                only one.
            output: The output, of a model with several.
            epoch: The epochs to look at, or None for all: the choice among them is made here.

        Returns:
            A row for each sample: sample_id, label, suggested_label (the label itself where nothing speaks
            against it), score from 0 to 1, and flagged, which is score > 0.5: also labels with which the model
            agrees, where it learnt to confuse two classes as others of their labels do. Of a multi-label output a
            row for each sample and `unit`, with labels 0 and 1.

        Warns:
            DataWarning: Many labels are flagged, and none were told better than by chance at first: labels that have
                nothing to do with their inputs are contradicted, too.

        Raises:
            NotRecordedError: There is no such phase or epoch.
            TaskError: There are no labels in it, or they are numbers: see `hardest`.

        Example:
            >>> import pyarrow.compute as pc
            >>> suspects = run.label_issues().filter(pc.field("flagged"))  # doctest: +SKIP
        """
        return label_issues(self._subject(phase, output, epoch))

    def hardest(
        self,
        count: int = 20,
        by: str = "mean_loss",
        *,
        phase: str | None = None,
        output: str | None = None,
        epoch: Epochs = None,
    ) -> pa.Table:
        """The samples that the training had most trouble with, over all their epochs.

        Args:
            count: How many.
            by: A column of `dynamics`. "mean_loss" and "last_loss" need no labels, and are had of
                any task: sequences, images, losses of margins.
            phase: "train", "val" or "test"; None for "train" if there is any, else the only one.
            output: The output, of a model with several.
            epoch: A number, several, or None for all.

        Returns:
            Rows of `dynamics`, hardest first; by a loss its columns alone.

        Example:
            >>> run.hardest(1).select(["sample_id", "mean_loss"]).to_pylist()
            [{'sample_id': 100, 'mean_loss': 0.375}]
        """
        return hardest(self._subject(phase, output, epoch), count, by)

    def duplicates(self, phase: str | None = None) -> pa.Table:
        """Identical inputs within an epoch, by their fingerprints; the most frequent first.

        Args:
            phase: "train", "val", "test" or "predict"; "train" if there is any, else the only one. Its first
                recorded epoch is looked at.

        Returns:
            A row for each input that comes more than once: fingerprint int64, count int64, sample_ids (a list: of a run
            that nobody has named, the fingerprint again and again), conflicting bool: whether their labels differ.

        Raises:
            NotRecordedError: There is no such phase.
            StoreError: The samples have no fingerprints.

        Example:
            >>> run.duplicates().num_rows
            0
        """
        return duplicates(self, phase)

    def overlap(self, one: str = "train", other: str = "val") -> pa.Table:
        """Inputs that are in two phases: leakage, where one of them is validation.

        Args:
            one: A phase.
            other: Another one. Of both, the first recorded epoch is looked at.

        Returns:
            A row for each input that is in both: fingerprint int64, sample_id (as in `one`), how often it comes in each
            (columns named as the phases, int64), conflicting bool: whether the labels differ.

        Raises:
            NotRecordedError: There is no such phase, or both are the same.
            StoreError: The samples have no fingerprints.

        Example:
            >>> leaked = run.overlap("train", "val")["sample_id"]  # doctest: +SKIP
        """
        return overlap(self, one, other)

    def outliers(
        self,
        layer: str | None = None,
        *,
        phase: str | None = None,
        epoch: int = -1,
        output: str | None = None,
        neighbors: int = 5,
    ) -> pa.Table:
        """Samples that lie apart from the others of their class: of another kind, damaged, or wrongly labelled.

        A sample's distance is that to its k-th nearest neighbour of the same class (Ramaswamy et al., SIGMOD 2000),
        its score the modified z-score of that distance among those of the class (Iglewicz and Hoaglin, 1993). Those
        past 3.5, the limit they give, are flagged.

        Args:
            layer: The layer in whose recorded outputs distances are taken, such as the one before the last, recorded
                with `tt.Activations(layer, every="epoch", samples=…)`; None for the model's outputs.
            phase: "train", "val" or "test"; None for "train" if there is any, else the only one.
            epoch: Its epoch; -1 is the last.
            output: The output whose classes are meant, of a model with several.
            neighbors: k.

        Returns:
            sample_id, label int64, distance, score float64 (null where a class has no more than k + 1 samples),
            flagged bool; the furthest first.

        Raises:
            NotRecordedError: No activations of that layer were recorded; near names are listed.
            TaskError: The labels are no classes, or several a sample.

        Example:
            >>> run.outliers(neighbors=1).column_names
            ['sample_id', 'label', 'distance', 'score', 'flagged']
        """
        return outliers(self, layer, phase=phase, epoch=epoch, output=output, neighbors=neighbors)

    # --- values of layers and weights ---------------------------------------------------------------

    @property
    def activations(self) -> Recordings:
        """What came out of the layers in the real forward pass.

        `run.activations("conv1")` is the `Recorded` of one layer, "shared#1" of the second call of a
        shared one; it takes phase=, epoch= and step=. `run.activations()` shows what there is, and is a
        mapping by path.

        Example:
            >>> run.activations("dense").statistics["mean"]
            array([0.25, 0.5 , 0.75, 1.  ])
            >>> list(run.activations())
            ['dense']
        """
        return self._recordings("activations")

    @property
    def activation_gradients(self) -> Recordings:
        """The gradient of the loss that reached the outputs of layers; by layer, as `activations`."""
        return self._recordings("activation_gradients")

    @property
    def gradients(self) -> Recordings:
        """The gradients of the weights as the optimizer got them, before clipping: `run.gradients("conv1/kernel")`."""
        return self._recordings("gradients")

    @property
    def weights(self) -> Recordings:
        """The weights of the model: `run.weights("conv1/kernel")`."""
        return self._recordings("weights")

    @property
    def updates(self) -> Recordings:
        """What the steps added to the weights: `run.updates("conv1/kernel")`."""
        return self._recordings("updates")

    @property
    def optimizer_state(self) -> Recordings:
        """The variables of the optimizer, such as Adam's moments; by path, as `weights`."""
        return self._recordings("optimizer_state")

    @property
    def tapped(self) -> Recordings:
        """What `tt.tap(value, name)` was given: `run.tapped("name")`; with samples, where it has a row for each."""
        return self._recordings("tapped")

    @property
    def inputs(self) -> Recordings:
        """The inputs of recorded samples, where `tt.Inputs` had a cap; else `run.samples().inputs` has them."""
        return self._recordings("inputs")

    # --- curves -------------------------------------------------------------------------------------

    def scalars(self, phase: str | None = None) -> pa.Table:
        """A row for each step: its own loss, learning rate, loss scale, and Keras' running means.

        Args:
            phase: One phase; None for all.

        Returns:
            phase, epoch, step, batch, samples, loss (of this step alone), learning_rate, loss_scale,
            skipped, and `running/<metric>`: what Keras' logs said after the step. Of a step that several
            workers ran together: the samples of all, their losses' mean weighted by samples; the rest as the first
            worker has it (`run.sql` has the rows of each).

        Raises:
            NotRecordedError: There is no such phase.
            StoreError: The run has no such table.
        """
        tables = self._tables
        self._need(tables, "scalars", "a run of tt.Recorder")
        return scalars_table(tables, phase)

    def epochs(self) -> pa.Table:
        """A row for each epoch with a column for each metric, as `History` has them, val_loss included.

        Raises:
            StoreError: The run has no such table; it comes with the end of the first epoch.
        """
        tables = self._tables
        self._need(tables, "epochs", "a run of tt.Recorder in which an epoch has ended")
        return epochs_table(tables)

    def overhead(self) -> OverheadSummary:
        """What recording has cost: bytes, rows, seconds, waiting, batches dropped.

        Raises:
            StoreError: The run has no such table; it comes with the end of the first epoch.
        """
        tables = self._tables
        self._need(tables, "overhead", "a run of tt.Recorder in which an epoch has ended")
        whole = tables.whole("overhead", of_all=True)
        assert whole is not None
        return OverheadSummary.of(whole)

    # --- what is wrong --------------------------------------------------------------------------------

    def diagnose(
        self, model: Any = None, *, rules: Sequence[Rule[Any]] | None = None, ignore: Collection[str] = ()
    ) -> Report:
        """What is wrong with the model, the loss, the data or the training, by rules that read the record.

        A run of `tt.Recorder(path, taps="diagnose")` has all that the rules need; of another, those without their
        evidence are listed in `report.skipped`. Works on a run that is still being written.

        Args:
            model: The model that was trained, if it is at hand: then its loss is checked too (`tt.check_loss`).
            rules: Rules to run; by default those of truetap and those that were registered (`tt.rules.register`).
            ignore: Names of rules to leave out.

        Returns:
            A `tt.Report`: true when nothing is wrong. Its findings name causes, the worst and surest first.

        Raises:
            DiagnosisError: Something isn't a rule, or there is no rule of a name in `ignore`.

        Example:
            >>> len(run.diagnose().checked) > 0
            True
        """
        from truetap.diagnosis.diagnose import diagnose  # many files, which reading alone doesn't need

        return diagnose(self, model, rules=rules, ignore=ignore)

    def compare(
        self,
        other: Run,
        *,
        phase: str | None = None,
        slices: Mapping[str, Any] | None = None,
        most: int = 100,
        resamples: int = 500,
        seed: int = 0,
    ) -> Comparison:
        """What changed from this run (here) to another (there), over the samples of the last epoch of one phase.

        Samples that both runs have are paired by their names, else by the fingerprints of their inputs; metrics are
        those of `samples.evaluate()`, with 95% intervals of their differences over resampled samples (percentile
        bootstrap: Efron and Tibshirani 1993, chapter 13), which say what the choice of samples may account for.

        Args:
            other: The other run.
            phase: By default the first of "val", "train", "test", "predict" that both runs have.
            slices: Parts to compare too, by name: sample ids; a bool mask over the rows of this run's samples of that
                phase; or an Arrow table of `sample_id` and one more column, whose values are the parts.
            most: How many samples are listed of those whose loss changed most.
            resamples: How many, 100 or more.
            seed: Of the resampling.

        Returns:
            A `tt.Comparison`: metrics, classes and slices, samples newly right and newly wrong, findings, settings.

        Raises:
            NotRecordedError: One of the runs doesn't have the phase.
            TaskError, StructureError: Their outputs mean different things, or have no name in common.

        Example:
            >>> run.compare(run).newly_wrong.num_rows
            0
        """
        if not isinstance(other, Run):
            raise StoreError(f"Expected: a run to compare with, such as tt.open(path). Received: {other!r:.200}.")
        from truetap.comparison import compare  # SciPy, which reading alone doesn't need

        return compare(self, other, phase=phase, slices=slices, most=most, resamples=resamples, seed=seed)

    def report(self, path: str | os.PathLike[str] = "report.html", *, model: Any = None, data: Any = None) -> str:
        """Writes one HTML file that any browser opens, without a network: findings first, then curves, the view that
        fits each output's task, hardest samples and suspect labels with their inputs, layers, what recording cost.

        Needs the package that carries the code of the charts: `pip install truetap[report]`. Holds at most 500
        samples. Strings of the run (names of classes, paths, texts) are data in it, never markup.

        Args:
            path: Where to; an older report of this name is replaced.
            model: The model that was trained, if it is at hand: then its loss is checked too.
            data: The data, if they are at hand, as `tt.collect` takes them: inputs that were not recorded are then
                found in them, by one walk, by the bits of each sample.

        Returns:
            The path.

        Raises:
            StoreError: The package is missing, or the file can't be written.
            IdError: None of the samples to show is in the data.

        Example:
            >>> run.report("report.html")  # doctest: +SKIP
            'report.html'
        """
        from truetap.report import write_report  # many files, which reading alone doesn't need

        return write_report(self, path, model=model, data=data)

    def export(
        self,
        path: str | os.PathLike[str],
        format: str = "parquet",  # noqa: A002
        *,
        tables: Sequence[str] | str | None = None,
        phase: str | None = None,
        epoch: Epochs = None,
        **options: Any,
    ) -> tuple[str, ...]:
        """Writes what was recorded for another tool; after the training, or while it runs.

        Of a run that is being written, what is committed by now is exported. A file or folder appears under its name
        when it is whole, and nothing that exists is replaced.

        Args:
            path: A folder that doesn't exist or is empty. Of "csv" also a file "….csv", for one table. Of "mlflow" the
                tracking URI, such as "sqlite:///mlflow.db" or "http://localhost:5000".
            format: "parquet" (folders phase=…/epoch=…), "csv", "numpy", "tensorboard" (scalars, histograms, projector),
                "mlflow" or "wandb" (an offline run). The last three need the extra of their name.
            tables: Names as in `tables`, or patterns such as "activations.*"; None for all. The names that `identify`
                gave stand in the rows; their own table is exported where it is named.
            phase: One phase; None for all.
            epoch: A number, several, or None for all; negative ones count from the last. A table that lacks one of them
                gives those that it has.
            options: Of the format:
                parquet: compression, "zstd" by default.
                csv: most_columns, how many columns a tensor may become: 1,024 by default.
                numpy: npz, whether to write a .npz file for each part instead of .npy files.
                tensorboard: points and layers, the most points and layers of the projector (10,000 and 8).
                mlflow: experiment, its name ("truetap"); run_id, a run to write into; report, whether to log it.
                wandb: project ("truetap"), name, report.

        Returns:
            The files written; of "mlflow" their URIs, "runs:/<run id>/…", the run's own first.

        Raises:
            NotRecordedError: There is no such table, phase or epoch.
            RunExistsError: The target exists.
            DamagedRunError: Committed rows are lost, or not what was written.
            StoreError: There is no such format or option, or the format can't hold the values.
            TruetapError: The format's package isn't installed.

        Example:
            >>> run.export("losses.csv", "csv", tables="scalars")  # doctest: +SKIP
            ('losses.csv',)
        """
        from truetap.exporting import export  # many files, which reading alone doesn't need

        return export(self, path, format, tables=tables, phase=phase, epoch=epoch, **options)

    # --- SQL, checks ----------------------------------------------------------------------------------

    def sql(self, query: str, /, **parameters: Any) -> duckdb.DuckDBPyRelation:
        """Asks DuckDB over the tables of the run.

        Tables are views of their names: samples, scalars, epochs, activations, …; a table of raw values
        has a dot in its name and is quoted, as is a column with a slash: `"y_true/age"`,
        `"activations.conv1"`. Tensors are arrays in row-major order (FLOAT[10]), or lists where their
        shape changes. Only files of this run can be read, and only queries are taken.

        Args:
            query: One select.
            parameters: Values for `$name` in it.

        Returns:
            A relation, computed when it is asked for rows: `.fetchall()`, `.df()`, `.arrow()`, `.pl()`.

        Raises:
            StoreError: It is no query, or DuckDB can't make sense of it.

        Example:
            >>> run.sql("select epoch, avg(loss) from samples where phase = $phase group by 1 order by 1",
            ...         phase="train").fetchall()
            [(0, 0.5), (1, 0.25)]
        """
        return self._state.database.query(query, parameters)

    def verify(self) -> list[Problem]:
        """Checks every committed byte against its checksum. Cost: one read of the run.

        Returns:
            What is wrong; empty when nothing is. Those whose `damage` is false cost no committed row.
        """
        return list(self.reader.verify())

    def __repr__(self) -> str:
        tables = self._tables
        reader = tables.reader
        lacking = "".join(f", worker {rank} of {reader.workers} has not begun" for rank in reader.absent)
        lines = [f"Run {self.path!r}{'' if reader.complete else f' (not complete{lacking})'}"]
        for phase, epochs in self.phases.items():
            lines.append(f"  {phase}: epochs {spans(epochs)}")
        for table in tables.reader.tables:
            lines.append(f"  {table}: {tables.reader.num_rows(table):,} rows")
        return "\n".join(lines if len(lines) > 1 else [f"{lines[0]}: no table yet"])

    def _repr_html_(self) -> str:
        from truetap.notebook.objects import run_html

        return run_html(self)

    # --- inside ---------------------------------------------------------------------------------------

    def _subject(self, phase: str | None, output: str | None, epoch: Epochs) -> Subject:
        tables = self._tables
        self._need(tables, "samples", "tt.Outputs(), which a Recorder has by itself")
        recorded = tables.epochs("samples")
        if not recorded:
            return Subject.of(self.samples(), self.samples(), [], "", output)
        chosen = choose_phase(phase, recorded)
        numbers = choose_epochs(epoch, recorded[chosen], tables.where(chosen))
        return Subject.of(self.samples(chosen, numbers), self.samples(chosen, numbers[:1]), numbers, chosen, output)

    @property
    def _state(self) -> State:
        """The run as it stands now: read anew while it is written, or when it was changed."""
        if not self._read.is_current:
            self._read = State(self._place, self._unkept)
        return self._read

    @property
    def _tables(self) -> Tables:
        return self._state.tables

    def _recordings(self, kind: str) -> Recordings:
        state = self._state
        return Recordings(state.tables, kind, Filter(), state.names)

    def _need(self, tables: Tables, table: str, expected: str) -> None:
        if not tables.batches(table).num_rows:
            raise StoreError(
                f"The run {self.path!r} holds no {table}. Received: tables {list(tables.reader.tables)}. Expected: "
                f"{expected}; it may have ended before its first batch."
            )

    def _refuse_phase(self, phase: str | None, epoch: Any) -> None:
        if phase is not None or epoch is not None:
            raise StoreError(
                f"The run {self.path!r} has no phases and epochs: tt.collect wrote it, in one pass. Received: "
                f"phase={phase!r}, epoch={epoch!r}. Expected: run.samples()."
            )


def open(path: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> Run:  # noqa: A001
    """Opens a run for reading; also while it is written.

    Args:
        path: The folder of a `tt.Recorder`, or that `tt.collect(…, to=folder)` wrote; or its URL in a store that
            fsspec reaches, such as "s3://bucket/run": only what is asked for is fetched.
        storage_options: For a URL, what fsspec's filesystem is made with, such as `{"endpoint_url": …}`; what is left
            out comes from fsspec's configuration and the store's environment variables.

    Raises:
        StoreError: There is no run there, or the store can't be reached.
        DamagedRunError: Its manifest can't be read.
    """
    return Run(path, storage_options=storage_options)
