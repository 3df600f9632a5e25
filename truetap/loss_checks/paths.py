"""Where the way of a gradient through a loss ends."""

from __future__ import annotations

from dataclasses import dataclass

from truetap.backends.loss_probe import FLAT, OpGraph, OpNode

__all__ = ["Way", "way_to"]


@dataclass(frozen=True, slots=True)
class Way:
    """How a tensor reaches the result of a loss.

    Attributes:
        connected: Whether the result is computed from it at all.
        open: Whether a gradient can flow back to it on at least one way.
        blocks: Operations that end the other ways, those nearest to the result first.
    """

    connected: bool
    open: bool
    blocks: tuple[str, ...]


def way_to(graph: OpGraph, source: int) -> Way:
    """Follows the result of a loss back to one of its arguments.

    A way ends at an operation whose derivative is zero (`round`) or whose result is no float
    (`argmax`, a comparison, a cast to integers). Behind such a result, integers and booleans are followed to
    the operation that made them from floats: that is the one to name.
    """
    made_by = {output: node for node in graph.nodes for output in node.outputs}
    reached = _reached(graph, source)
    if graph.result is None or graph.result not in reached:
        return Way(connected=False, open=False, blocks=())
    waiting, seen, blocks, is_open = [graph.result], set(), list[str](), False
    while waiting:
        number = waiting.pop(0)
        if number in seen or number not in reached:
            continue
        seen.add(number)
        node = made_by.get(number)
        if number == source:
            is_open = True
        elif node is not None and _ends(node, number, graph, reached):
            blocks.append(node.op)
        elif node is not None:
            floats = number in graph.floating
            waiting += [each for each in node.inputs if floats or each not in graph.floating]
    return Way(connected=True, open=is_open, blocks=tuple(dict.fromkeys(blocks)))


def _ends(node: OpNode, number: int, graph: OpGraph, reached: set[int]) -> bool:
    """Whether a gradient that arrives at an output of an operation gets no further."""
    if number in graph.floating:
        return node.op in FLAT
    return any(each in graph.floating and each in reached for each in node.inputs)


def _reached(graph: OpGraph, source: int) -> set[int]:
    """Everything that is computed from a tensor; operations are listed in the order in which they ran."""
    reached = {source}
    for node in graph.nodes:
        if reached.intersection(node.inputs):
            reached.update(node.outputs)
    return reached
