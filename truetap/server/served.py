"""The runs that are served, and what is kept of them between requests.

A request names a run by its number; the folders were given when the server was started, and no other is ever opened.
Three threads work behind the page: one for what is small, one for indexes, one for what takes long.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any

from truetap.errors import StoreError
from truetap.report.outputs import looked_at
from truetap.server.index import Index, Shelf
from truetap.server.jobs import Answer, Board
from truetap.server.meaning import LOOKED_AT, Meaning, meaning_of
from truetap.server.moment import Moment, stamp_of
from truetap.server.refusal import Refusal
from truetap.store.place import place_of
from truetap.tasks import Hint

__all__ = ["Library", "Place", "Served"]

Place = tuple[int, str, int | None, int]  # run, phase, epoch, output

_PATIENCE = 0.25  # seconds that an answer is waited for before the page is told to ask again


class Served:
    """A run that is served.

    Args:
        number: Its place among those that are served.
        path: Its folder.

    Raises:
        StoreError: There is no run there.
    """

    def __init__(self, number: int, path: str | os.PathLike[str]) -> None:
        self.number = number
        place = place_of(path)
        self.path = Path(os.path.abspath(place)) if isinstance(place, Path) else place
        self.name = self.path.name
        self._of_thread = threading.local()
        Moment(self.path)  # says at once when there is no run

    def stamp(self) -> str:
        """Changes when the run does."""
        return stamp_of(self.path)

    def moment(self) -> Moment:
        """The run as it stands now, for this thread."""
        stamp = self.stamp()
        known: tuple[str, Moment] | None = getattr(self._of_thread, "known", None)
        if known is None or known[0] != stamp:
            known = self._of_thread.known = (stamp, Moment(self.path))
        return known[1]

    def epochs_stamp(self) -> Hashable:
        """Changes when an epoch is begun, or the run ends: often enough for what takes long to work out."""
        moment = self.moment()
        ended = moment.reader.num_rows("epochs") if "epochs" in moment.tables else 0
        epochs = tuple((phase, tuple(numbers)) for phase, numbers in moment.sample_epochs.items())
        return epochs, ended, moment.complete, names_of(moment)


class Library:
    """All that the server keeps.

    Args:
        paths: Folders of runs.
    """

    def __init__(self, paths: Sequence[str | os.PathLike[str]]) -> None:
        if not paths:
            raise StoreError("There is nothing to serve. Received: no run. Expected: the folder of one run or more.")
        self.runs = [Served(number, path) for number, path in enumerate(paths)]
        self.shelf = Shelf()
        self.quick, self.indexing = Board("truetap-quick"), Board("truetap-index")
        self.slow = Board("truetap-slow", after=self.indexing)  # whoever clicks waits for an index, not for a diagnosis
        self._meanings: dict[Hashable, Meaning] = {}

    def close(self, patience: float = 0.0) -> bool:
        """Lets the threads go; says whether they went within some seconds."""
        closed = [board.close(patience) for board in (self.quick, self.indexing, self.slow)]  # each of them
        return all(closed)

    def run(self, number: int) -> Served:
        """A run by its number.

        Raises:
            Refusal: There is none.
        """
        if not 0 <= number < len(self.runs):
            received = f"run {number}"
            raise Refusal(404, received, f"a number from 0 to {len(self.runs) - 1}", "Choose one at /api/runs.")
        return self.runs[number]

    def seen(self, served: Served, what: str, work: Callable[[Moment], Any]) -> Answer:
        """Something small of a run, as it stands now."""
        key = (what, served.number)
        return self.quick.ask(key, served.stamp(), lambda: work(served.moment()), patience=_PATIENCE)

    def worked_out(self, served: Served, what: Hashable, work: Callable[[Moment], Any]) -> Answer:
        """Something that takes long, of the run as it was when its last epoch began."""
        key = (what, served.number)
        return self.slow.ask(key, served.epochs_stamp(), lambda: work(served.moment()), patience=0.05)

    def index(self, place: Place, *, patience: float = _PATIENCE) -> Answer:
        """The index of an epoch and output; `value` is an `Index`.

        Raises:
            Refusal: There is no such output.
            NotRecordedError: There is no such phase or epoch.
        """
        served = self.run(place[0])
        moment = served.moment()
        view = view_of(moment, place)
        stamp = (len(view), names_of(moment))
        return self.indexing.ask(("index", place), stamp, lambda: self._build(place), patience=patience)

    def meaning(self, place: Place) -> Meaning:
        """How an output is read; told once for each phase."""
        moment = self.run(place[0]).moment()
        recorded = moment.sample_epochs
        first = place if not recorded else (place[0], place[1], recorded[place[1]][0], place[3])
        view = view_of(moment, first)
        key = (place[0], place[1], place[3], min(len(view), LOOKED_AT))  # of the first rows of a run less is known
        if key not in self._meanings:
            hint = moment.samples(*_chosen(first)).about.hints.get(output_name(moment, place[3]), Hint())
            self._meanings[key] = meaning_of(view, hint)
        return self._meanings[key]

    def _build(self, place: Place) -> Index:
        moment = self.run(place[0]).moment()
        view = view_of(moment, place)
        return self.shelf.bring(place, view, self.meaning(place), names_of(moment), lambda: self.indexing.closed)


def view_of(moment: Moment, place: Place) -> Any:
    """The samples of one output.

    Raises:
        Refusal: There are none.
    """
    name = output_name(moment, place[3])
    if "samples" not in moment.tables or not moment.reader.num_rows("samples"):
        raise Refusal(404, "a run without samples", "a run with tt.Outputs()", "Wait for its first batch.")
    samples = moment.samples(*_chosen(place))
    return samples[name] if name else samples


def output_name(moment: Moment, output: int) -> str:
    """The name of an output by its place.

    Raises:
        Refusal: There is no such output.
    """
    names = moment.output_names
    if not 0 <= output < len(names):
        raise Refusal(404, f"output {output}", f"a number from 0 to {len(names) - 1}", "Choose another output.")
    return names[output]


def names_of(moment: Moment) -> int:
    """How many names the run has for its samples."""
    return moment.reader.num_rows("names") if "names" in moment.tables else 0


def default_place(moment: Moment) -> tuple[str, int | None] | None:
    """The phase and epoch to look at first; None where there are no samples."""
    looked = looked_at(moment)
    if looked is not None:
        return looked.phase, looked.epoch
    epochs = moment.sample_epochs
    if not epochs:
        return None
    phase = "train" if "train" in epochs else next(iter(epochs))
    return phase, epochs[phase][-1]


def _chosen(place: Place) -> tuple[str | None, int | None]:
    return (None, None) if place[2] is None else (place[1], place[2])
