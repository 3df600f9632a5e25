"""`collect` on Ray, from the call to the samples. The driver moves references and counts; rows never pass it.

What a run is made of (`truetap.engines.shared_run`): every unit of work is published by one rename, so a
killed actor, worker or driver loses what was under way and nothing else, and doubles nothing.
"""

from __future__ import annotations

import pickle
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import ray

from truetap.about import About
from truetap.data.reader import notice
from truetap.data.source import nothing_came
from truetap.engines.call import Call
from truetap.engines.ray.actor import KerasSettings, actor_class
from truetap.engines.ray.cluster import actors_that_fit, connected, most_actors, quiet, wait_for_room_to_read
from truetap.engines.ray.jobs import DatasetJob, Job, open_job, rows_of
from truetap.engines.ray.options import Ray
from truetap.engines.ray.pool import Pool, cause_of
from truetap.engines.shared_run import SharedRun, units_done
from truetap.engines.shipping import Shipped, pack
from truetap.engines.stamps import settings_stamp
from truetap.engines.units import Task
from truetap.engines.work import Outcome, Settings
from truetap.errors import (
    DataEndedEarly,
    DataError,
    IdError,
    ModelError,
    RunExistsError,
    StoreError,
    StructureError,
)
from truetap.progress import Progress
from truetap.samples import Samples
from truetap.seen import say_what_was_seen
from truetap.store import RunReader

__all__ = ["collect_on_ray"]

Array = npt.NDArray[Any]


def collect_on_ray(model: Any, call: Call, options: Ray) -> Samples:
    """Collects on a Ray cluster; arguments and errors as of `truetap.collect`."""
    call = call.settled()
    assert call.to is not None  # collect_elsewhere has seen to it
    with connected(options):
        job = open_job(call, model, options.unit_rows)
        num_actors = actors_that_fit(options, job.cpus_to_read)
        stamp = {"data": job.stamp, "settings": _settings_of(call, job, options)}
        run = SharedRun(call.to, "ray", stamp)
        try:
            settings = Settings(
                run.aside, job.facts, call.rows_per_batch, _own_ids(call), call.layers, call.inputs, stamp
            )
            done = ray.put(_go_on(run, job, call))
            sent = _sent(pack(model))
            actor = actor_class(_needs(options))
            here = KerasSettings.here()
            pool = Pool(
                lambda stamp: actor.remote(sent, settings, here, stamp, done),
                num_actors,
                lambda: most_actors(options, job.cpus_to_read),
                options,
            )
            try:
                run.check_stamp("model", pool.wait_until_ready())
                if job.cpus_to_read:
                    wait_for_room_to_read(options.start_seconds)
                return _Collection(run, job, call, pool).result()
            finally:
                pool.close()
        except BaseException as error:
            _left(run, call, error)
            raise


@dataclass
class _Collection:
    """A collection under way."""

    run: SharedRun
    job: Job
    call: Call
    pool: Pool
    about: About | None = None
    notices: list[str] = field(default_factory=list)
    columns: frozenset[str] | None = None
    ids: str | None = None
    spent: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    done: int = 0

    def result(self) -> Samples:
        """All units, to the end."""
        started, used = time.perf_counter(), time.process_time()
        plain: Any = self.run.metadata.get("collect")
        if plain is not None:
            self.about = About.from_json(plain)
            self.notices = list(self.about.notices)
        before = units_done(self.run.path)
        expected = set(before)
        expected_rows = _rows_in(self.run)
        with Progress("collect", self._steps(), self.call.verbose) as bar, quiet():
            rows = rows_of(self.job)
            for number in sorted(before & rows.keys()):
                self._advance(bar, rows[number])
            for outcome in self._outcomes(before):
                self._take(outcome)
                expected.add(outcome.number)
                if outcome.number not in before:
                    expected_rows += outcome.rows
                    self._advance(bar, outcome.rows)
        self._check(expected | rows.keys(), expected_rows)
        self.spent.update({"driver": time.process_time() - used})
        self.run.update({}, costs=self._costs(time.perf_counter() - started), lost_actors=self.pool.lost)
        return self._finished()

    def _outcomes(self, before: frozenset[int]) -> Iterator[Outcome]:
        units = self.job.units
        skip = before
        if units and self.about is None and len(before) == len(units):
            skip = before - {units[0].number}  # killed before it said what it holds: looked at once more
        try:
            with closing(self.job.give(skip)) as given, closing(self.pool.run(given)) as outcomes:
                yield from outcomes
        except Exception as error:
            found = cause_of(error)
            if found is error:
                raise
            raise found from error

    def _take(self, outcome: Outcome) -> None:
        """What a unit says of the whole: the first tells what there is, and all others must have the same."""
        known = len(self.notices)
        for said in outcome.about.notices:
            if re.sub(r"\d[\d,]*", "0", said) not in self._said():  # the same of another batch says nothing new
                notice(self.notices, said)
        if self.about is None or self.columns is None:
            self.columns = frozenset(outcome.columns)
            self.ids = outcome.ids
            self.about = replace(outcome.about, expected_steps=self._steps())
            known = -1
        if len(self.notices) > known:  # whoever goes on with the run says them too
            self.about = replace(self.about, notices=tuple(self.notices))
            self.run.update({"collect": self.about.to_json()})
        changed = self.columns ^ frozenset(outcome.columns)
        if changed:
            raise StructureError(
                f"Unit {outcome.number} of the data has other parts than the first. Received: "
                f"{sorted(set(outcome.columns) & changed)} more, {sorted(self.columns & changed)} less. Expected: the "
                "same labels, weights and masks everywhere."
            )
        if outcome.ids != self.ids:
            raise IdError(
                f"Ids are all whole numbers or all strings. Received: both, the second kind in unit {outcome.number} "
                f"of the {self.job.facts.kind}. Expected: one kind; str(id) makes strings of them."
            )
        self.spent.update(outcome.seconds)
        self.rows += outcome.rows
        self.done += 1

    def _said(self) -> set[str]:
        return {re.sub(r"\d[\d,]*", "0", said) for said in self.notices}

    def _advance(self, bar: Progress, rows: int) -> None:
        size = self.call.rows_per_batch
        for start in range(0, rows, size):
            bar.advance(min(size, rows - start))

    def _steps(self) -> int | None:
        return self.call.steps or self.job.facts.num_batches

    def _costs(self, wall: float) -> dict[str, float]:
        """Seconds of each stage over all processes; rows, units and seconds on the clock of this call."""
        spent = {stage: round(seconds, 6) for stage, seconds in sorted(self.spent.items())}
        return {"rows": self.rows, "units": self.done, "wall": round(wall, 6), **spent}

    def _check(self, expected: set[int], expected_rows: int) -> None:
        if not expected:
            raise nothing_came(self.job.facts.kind)
        missing = sorted(expected - units_done(self.run.path))
        if missing:
            raise StoreError(
                f"The run at {str(self.run.path)!r} has lost units {missing[:5]} of {len(expected)}: somebody removed "
                "their folders. The same call collects them again."
            )
        if _rows_in(self.run) != expected_rows:
            raise StoreError(
                f"The run at {str(self.run.path)!r} holds {_rows_in(self.run):,} rows, and {expected_rows:,} were "
                "collected: somebody changed its files. Expected: another path, or delete the folder first."
            )
        planned = sum(-(-rows // self.call.rows_per_batch) for rows in rows_of(self.job).values())
        if self.call.steps is not None and planned < self.call.steps:
            raise DataEndedEarly(
                f"The {self.job.facts.kind} ended after {planned} of {self.call.steps} batches. Expected: as many as "
                "steps asks for; leave steps out to read to the end. What came is in this error's .samples."
            )

    def _finished(self) -> Samples:
        assert self.about is not None
        looked_at = Samples(RunReader(self.run.path).batches("samples"), self.about, expected_ids=self.job.listed)
        say_what_was_seen(looked_at)
        about = replace(self.about, notices=tuple(looked_at.notices))
        self.run.update({"collect": about.to_json()})
        self.run.finish()
        return Samples(RunReader(self.run.path).batches("samples"), about, expected_ids=self.job.listed)


def _needs(options: Ray) -> dict[str, Any]:
    """What Ray is told of an actor. It isn't restarted by Ray: its units would be lost with it."""
    return {
        "num_cpus": options.num_cpus,
        "num_gpus": options.num_gpus,
        "max_restarts": 0,
        "max_task_retries": 0,
        "runtime_env": {"env_vars": {"KERAS_BACKEND": keras.backend.backend()}},
    }


def _settings_of(call: Call, job: Job, options: Ray) -> str:
    return settings_stamp(
        batch_size=call.rows_per_batch,
        steps=call.steps,
        ids=call.ids if job.listed is None else job.listed,
        layers=call.layers,
        inputs=call.inputs,
        unit_rows=options.unit_rows,
        backend=keras.backend.backend(),
    )


def _own_ids(call: Call) -> Any:
    return call.ids if isinstance(call.ids, str) or callable(call.ids) else None


def _sent(shipped: Shipped) -> Any:
    """A reference to the model: it is sent to each machine once, however many actors it has.

    Raises:
        ModelError: It holds what can't be sent.
    """
    try:
        return ray.put(shipped)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise ModelError(
            f"The model, or the function that makes it, can't be sent ({error.__cause__ or error}). Expected: a "
            "function that uses nothing but what it imports itself, such as one that loads the model from a file."
        ) from error


def _go_on(run: SharedRun, job: Job, call: Call) -> Array | None:
    """Makes ready to go on with a user's dataset: the ids that the run has; None where units tell what is done."""
    if not isinstance(job, DatasetJob) or not units_done(run.path):
        return None
    if "collect" not in run.metadata:
        run.start_over()
        return None
    job.first = _after(run)
    return _ids_done(run, call)


def _ids_done(run: SharedRun, call: Call) -> Array:
    """Ids that a run of a user's dataset has already, sorted."""
    if not isinstance(call.ids, str):
        raise RunExistsError(
            f"The run at {str(run.path)!r} was left unfinished, and its rows are known again by their ids alone. "
            "Received: a ray.data.Dataset without ids. Expected: ids='column' from the beginning; another path, or "
            "delete the folder first."
        )
    return np.sort(Samples(RunReader(run.path).batches("samples")).ids)


def _after(run: SharedRun) -> Task:
    """The number and the first batch of what comes after the units that a run has."""
    last = RunReader(run.path).batches("samples")[-1]  # they come in the order of their units
    return Task(max(units_done(run.path)) + 1, last.column("step")[-1].as_py() + 1)


def _rows_in(run: SharedRun) -> int:
    return RunReader(run.path).num_rows("samples")


def _left(run: SharedRun, call: Call, error: BaseException) -> None:
    """Leaves an unfinished run, and says how to go on."""
    done = units_done(run.path)
    if done and isinstance(error, DataError) and error.samples is None:
        plain: Any = run.metadata.get("collect", {})
        error.samples = Samples(RunReader(run.path).batches("samples"), About.from_json(plain))
    if done:
        error.add_note(f"{len(done):,} units of work are in {str(run.path)!r}; the same call goes on from there.")
    run.leave()
