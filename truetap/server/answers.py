"""The answers, one function each: out of what is asked, plain data, which is bounded whatever the run's size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pyarrow as pa

from truetap.report.cost import cost
from truetap.report.curves import curves
from truetap.report.facts import facts_of, kind_of
from truetap.report.layers import layers
from truetap.server import behind, one_sample
from truetap.server.asked import Asked
from truetap.server.classes import COLUMNS, chosen_classes, class_number, class_rows, counts_of, matrix, pairs
from truetap.server.index import Index
from truetap.server.jobs import Answer
from truetap.server.listing import PAGE, SORTS, Wanted, high_first, listing
from truetap.server.meaning import Kind
from truetap.server.moment import Moment
from truetap.server.output_view import output_view
from truetap.server.overlaid import overlaid
from truetap.server.plain import section_json
from truetap.server.refusal import Refusal
from truetap.server.served import Library, Place, Served, default_place, output_name, view_of

__all__ = ["Answering"]

Plain: TypeAlias = dict[str, Any]
Answering: TypeAlias = Callable[[Library, Served, Asked], Plain]

_MOST_PAIRS, _MOST_CLASSES, _MOST_PAGES = 50, 50, 10_000_000
_WORKING: Plain = {"state": "working"}


# --- the run ------------------------------------------------------------------------------------------


def overview(library: Library, served: Served, asked: Asked) -> Plain:
    """What the run is, and what can be chosen in it."""
    return _seen(library, served, "overview", lambda moment: _overview(served, moment))


def _overview(served: Served, moment: Moment) -> Plain:
    place = default_place(moment) if "samples" in moment.tables and moment.reader.num_rows("samples") else None
    return {
        "name": served.name,
        "said": f"{kind_of(moment)}, {served.path}",
        "facts": [list(pair) for pair in facts_of(moment)],
        "complete": moment.complete,
        "phases": moment.sample_epochs,
        "outputs": list(moment.output_names),
        "looked": None if place is None else {"phase": place[0], "epoch": place[1]},
        "epochs": _count(moment, "epochs"),
        "steps": _count(moment, "scalars"),
    }


def stamp(library: Library, served: Served, asked: Asked) -> Plain:
    """A few letters that change when the run does."""
    return {"stamp": served.stamp()}


def curves_of(library: Library, served: Served, asked: Asked) -> Plain:
    """Losses of steps, metrics of epochs, the learning rate."""
    return _seen(library, served, "curves", lambda moment: {"section": section_json(curves(moment))})


def layers_of(library: Library, served: Served, asked: Asked) -> Plain:
    """Statistics of layers, gradients and updates."""
    return _seen(library, served, "layers", lambda moment: {"section": section_json(layers(moment))})


def cost_of(library: Library, served: Served, asked: Asked) -> Plain:
    """What recording cost."""
    return _seen(library, served, "cost", lambda moment: {"section": section_json(cost(moment))})


def findings_of(library: Library, served: Served, asked: Asked) -> Plain:
    """What the diagnosis says."""
    return _said(library.worked_out(served, "findings", behind.findings))


def hardest_of(library: Library, served: Served, asked: Asked) -> Plain:
    """The samples with the highest mean loss."""
    name = _output(served, asked)
    answer = library.worked_out(served, ("hardest", name), lambda moment: {"section": behind.hardest(moment, name)})
    return _said(answer)


def labels_of(library: Library, served: Served, asked: Asked) -> Plain:
    """Labels that are probably wrong."""
    return _said(_suspects(library, served, asked), lambda found: {"section": found.section})


# --- an output ----------------------------------------------------------------------------------------


def output_of(library: Library, served: Served, asked: Asked) -> Plain:
    """The view of an output, in the way of its task."""
    return _of_index(library, served, asked, lambda cursor, index: output_view(cursor, index))


def exact_of(library: Library, served: Served, asked: Asked) -> Plain:
    """Metrics by `samples.evaluate()`."""
    place = _place(served, asked)
    count = len(view_of(served.moment(), place))

    def work() -> Plain:
        return {"section": behind.evaluated(view_of(served.moment(), place))}

    return _said(library.slow.ask(("exact", place), count, work, patience=0.05))


def matrix_of(library: Library, served: Served, asked: Asked) -> Plain:
    """The confusion matrix of chosen classes."""

    def work(cursor: Any, index: Index) -> Plain:
        _need(index, Kind.CLASSES, Kind.POSITIONS)
        counts = counts_of(cursor, index)
        chosen = chosen_classes(index, counts.classes, asked.text("classes"))
        return {"matrix": matrix(counts, index, chosen, "Confusion of the chosen classes")}

    return _of_index(library, served, asked, work)


def pairs_of(library: Library, served: Served, asked: Asked) -> Plain:
    """The pairs of classes that are confused most often."""
    page = asked.number("page", 0, 0, _MOST_PAGES)

    def work(cursor: Any, index: Index) -> Plain:
        _need(index, Kind.CLASSES, Kind.POSITIONS)
        return pairs(counts_of(cursor, index), index, page, _MOST_PAIRS)

    return _of_index(library, served, asked, work)


def classes_of(library: Library, served: Served, asked: Asked) -> Plain:
    """The classes, each against the others."""
    sort = asked.choice("sort", COLUMNS, "class")
    descending = asked.choice("order", ("asc", "desc"), "asc") == "desc"
    page = asked.number("page", 0, 0, _MOST_PAGES)

    def work(cursor: Any, index: Index) -> Plain:
        _need(index, Kind.CLASSES, Kind.POSITIONS, Kind.LABELS)
        counts = counts_of(cursor, index)
        found = class_rows(
            counts, index, find=asked.text("find"), sort=sort, descending=descending, page=page, size=_MOST_CLASSES
        )
        return {**found, "kind": str(index.meaning.kind)}

    return _of_index(library, served, asked, work)


# --- samples ------------------------------------------------------------------------------------------


def samples_of(library: Library, served: Served, asked: Asked) -> Plain:
    """A page of samples."""
    sort = asked.choice("sort", SORTS, "loss")
    order = asked.choice("order", ("asc", "desc"), "desc" if high_first(sort) else "asc")
    flagged = None
    if asked.flag("flagged"):
        suspects = _suspects(library, served, asked)
        if suspects.state != "ready":
            return _said(suspects, lambda found: {"section": found.section})
        flagged = suspects.value

    def work(cursor: Any, index: Index) -> Plain:
        wanted = Wanted(
            true=_class(index, asked.text("true")),
            pred=_class(index, asked.text("pred")),
            wrong=asked.flag("wrong"),
            flagged=None if flagged is None else "flagged",
            find=asked.text("find"),
            sort=sort,
            descending=order == "desc",
            page=asked.number("page", 0, 0, _MOST_PAGES),
        )
        if flagged is not None:
            kind = pa.string() if index.text_ids else pa.int64()
            ids = [str(each) if index.text_ids else each for each in flagged.ids]
            cursor.register("flagged", pa.table({"sample_id": pa.array(ids, kind)}))
        return listing(cursor, index, wanted)

    return _of_index(library, served, asked, work)


def inputs_shown(library: Library, served: Served, asked: Asked) -> Plain:
    """The inputs of some samples."""
    ids = asked.words("ids", PAGE)
    moment = served.moment()
    phase, epoch = _phase(moment, asked)
    return {"samples": one_sample.inputs_of(moment, phase, epoch, ids) if "samples" in moment.tables else {}}


def sample_of(library: Library, served: Served, asked: Asked) -> Plain:
    """One sample: its inputs and its history."""
    return one_sample.sample_page(served.moment(), asked.text("phase"), asked.text("id"))


# --- several runs -------------------------------------------------------------------------------------


def overlaid_of(library: Library, asked: Asked) -> Plain:
    """Curves of several runs over each other."""
    numbers = asked.numbers("runs", len(library.runs) - 1, 8)
    if not numbers:
        raise Refusal(400, "no run", f"numbers from 0 to {len(library.runs) - 1}", "Choose a run or more.")
    runs = [library.run(number) for number in numbers]
    names = [each.name for each in runs]
    lines = [each.name if names.count(each.name) == 1 else f"{each.name} ({each.number})" for each in runs]
    stamps = tuple(each.stamp() for each in runs)

    def work() -> Plain:
        return {"section": overlaid({line: each.moment() for line, each in zip(lines, runs, strict=True)})}

    return _said(library.quick.ask(("overlaid", tuple(numbers)), stamps, work, patience=0.25))


def compared_of(library: Library, asked: Asked) -> Plain:
    """What changed between two runs."""
    here, there = (library.run(asked.number(name, place)) for place, name in enumerate(("here", "there")))
    if here is there:
        raise Refusal(400, f"run {here.number} twice", "two runs", "Choose another one to compare with.")
    stamps = here.epochs_stamp(), there.epochs_stamp()
    key = ("compare", here.number, there.number)
    return _said(library.slow.ask(key, stamps, lambda: behind.compared(here.moment(), there.moment()), patience=0.05))


# --- what they share ----------------------------------------------------------------------------------


def _seen(library: Library, served: Served, what: str, work: Callable[[Moment], Plain]) -> Plain:
    return _said(library.seen(served, what, work))


def _said(answer: Answer, shown: Callable[[Any], Plain] = dict) -> Plain:
    """An answer of the board as plain data.

    Raises:
        Refusal: The work has failed.
    """
    if answer.state == "failed":
        assert answer.why is not None
        raise answer.why
    if answer.state == "working":
        return _WORKING
    return {"state": "ready", "fresh": answer.fresh, **shown(answer.value)}


def _of_index(library: Library, served: Served, asked: Asked, work: Callable[[Any, Index], Plain]) -> Plain:
    """What is told by an index: at once, or when it is made."""
    place = _place(served, asked)
    answer = library.index(place)
    if answer.state != "ready":
        return _said(answer)
    cursor = library.shelf.cursor()
    try:
        return {"state": "ready", "fresh": answer.fresh, **work(cursor, answer.value)}
    finally:
        cursor.close()


def _suspects(library: Library, served: Served, asked: Asked) -> Answer:
    name = _output(served, asked)
    return library.worked_out(served, ("labels", name), lambda moment: behind.suspects(moment, name))


def _output(served: Served, asked: Asked) -> str:
    return output_name(served.moment(), asked.number("output", 0))


def _place(served: Served, asked: Asked) -> Place:
    moment = served.moment()
    phase, epoch = _phase(moment, asked)
    output = asked.number("output", 0)
    output_name(moment, output)
    return served.number, phase, epoch, output


def _phase(moment: Moment, asked: Asked) -> tuple[str, int | None]:
    """The phase and epoch that are meant: by default the last one of the phase that tells most."""
    recorded = moment.sample_epochs
    if not recorded:
        return "", None
    phase = asked.text("phase")
    if not phase:
        place = default_place(moment)
        assert place is not None
        phase = place[0]
    if phase not in recorded:
        raise Refusal(404, f"the phase {phase[:50]!r}", f"one of {list(recorded)}", "Choose a phase that is recorded.")
    epoch = asked.optional("epoch", -(2**31), 2**31)
    if epoch is None:
        return phase, recorded[phase][-1]
    if epoch not in recorded[phase]:
        raise Refusal(404, f"epoch {epoch} of {phase}", f"one of {recorded[phase][:50]}", "Choose a recorded epoch.")
    return phase, epoch


def _class(index: Index, text: str) -> int | None:
    """A class that samples are chosen by; None for all."""
    return None if text == "" else class_number(index, text)


def _need(index: Index, *kinds: Kind) -> None:
    if index.meaning.kind not in kinds:
        received = f"an output of {index.meaning.kind}"
        raise Refusal(422, received, f"one of {[str(kind) for kind in kinds]}", "Look at the samples instead.")


def _count(moment: Moment, table: str) -> int:
    return moment.reader.num_rows(table) if table in moment.tables else 0
