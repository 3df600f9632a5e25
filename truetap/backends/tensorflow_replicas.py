"""TensorFlow: a step that a strategy runs on several replicas at once.

Each replica traces the same model in a thread of its own; one runs at a time, until it meets the others in a
`merge_call` (an update of a variable, a sum of gradients, the end). What a trace puts on the model is put aside
there, so that no replica sees that of another. Under one replica none of this is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from truetap.backends.autograph import as_it_is
from truetap.backends.keras_private import compiled_losses
from truetap.capture.replicas import ROWS, Shards
from truetap.capture.watch import inputs_of
from truetap.observe import replaced
from truetap.store import Worker
from truetap.structure import leaves

__all__ = ["alone", "from_all_replicas", "over_machines", "shards", "worker"]

_HOOKS = ("compute_loss", "compute_metrics", "call", "apply", "_flat_losses", "build")


@contextmanager
def alone(model: Any, layers: Mapping[str, Any]) -> Iterator[None]:
    """Inside the block, in the thread of a replica, the hooks on a model are those that this replica put there.

    Args:
        model: The model.
        layers: The layers that are watched.
    """
    replica = tf.distribute.get_replica_context()
    losses = [each.loss for each in compiled_losses(model)]
    parts = [getattr(model, name, None) for name in ("optimizer", "_compile_loss")]
    owners = [model, *parts, *layers.values(), *losses]
    owners = [owner for owner in owners if owner is not None]
    before = _hooks(owners)
    merge_call = replica.merge_call

    def meet(*args: Any, **kwargs: Any) -> Any:
        own = _hooks(owners)
        _put(owners, before)
        try:
            return merge_call(*args, **kwargs)
        finally:
            _put(owners, own)

    with replaced(replica, merge_call=meet):
        yield


def from_all_replicas(
    data: Any, extras: dict[str, Any], then: Callable[[dict[str, Any]], None] | None = None
) -> dict[str, tuple[Any, ...]]:
    """The extras of all replicas by name, each in the order of the replicas; every replica gets the same.

    Keras averages what differs between replicas; tensors that are the same in each it leaves alone.

    Args:
        data: The batch of this replica.
        extras: Its extras.
        then: Is called once, with those of all.
    """
    rows = next(leaf for leaf in leaves(inputs_of(data)) if leaf is not None)

    @as_it_is
    def merge(strategy: Any, extras: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
        every = {name: tuple(strategy.experimental_local_results(value)) for name, value in extras.items()}
        if then is not None:
            then(every)
        return every

    replica = tf.distribute.get_replica_context()
    return replica.merge_call(merge, args=({**extras, ROWS: _num_rows(rows)},))  # type: ignore[no-any-return]


def shards(extras: dict[str, Any]) -> dict[str, Any]:
    """Extras as a feed takes them, of one replica or of several."""
    return {name: Shards(value) if isinstance(value, tuple) else value for name, value in extras.items()}


def _num_rows(value: Any) -> Any:
    if isinstance(value, tf.RaggedTensor):
        return value.nrows()
    return value.dense_shape[0] if isinstance(value, tf.SparseTensor) else tf.shape(value)[0]


def over_machines(model: Any) -> bool:
    """Whether the replicas of a model are on several machines."""
    return isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy) and worker().size > 1


def worker() -> Worker:
    """Which of the workers of a cluster this process is, as TF_CONFIG says it; alone without one."""
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    cluster = resolver.cluster_spec().as_dict()
    trained_by = [(kind, number) for kind in ("chief", "worker") for number in range(len(cluster.get(kind, ())))]
    own = (resolver.task_type, resolver.task_id)
    return Worker(trained_by.index(own), len(trained_by)) if own in trained_by else Worker()


def _hooks(owners: list[Any]) -> list[dict[str, Any]]:
    return [{name: vars(owner)[name] for name in _HOOKS if name in vars(owner)} for owner in owners]


def _put(owners: list[Any], hooks: list[dict[str, Any]]) -> None:
    for owner, there in zip(owners, hooks, strict=True):
        for name in _HOOKS:
            vars(owner).pop(name, None)
        vars(owner).update(there)
