"""How a model is wired, as far as that can be told: which layer feeds which, and which of them bend what goes through.

Of a graph (Sequential, functional) the layers' neighbours are known; an operation of `keras.ops` in between hides
them, and so does a model's own `call`. Rules say nothing of what is hidden.
"""

from __future__ import annotations

from functools import cached_property
from math import prod

from truetap.facts import Facts, LayerFacts

__all__ = ["ACTIVATIONS", "SQUASHING", "WEIGHED", "Wiring", "kernel_of"]

# what multiplies by a kernel and sums
WEIGHED = frozenset(
    (
        "Dense",
        "EinsumDense",
        "Conv1D",
        "Conv2D",
        "Conv3D",
        "Conv1DTranspose",
        "Conv2DTranspose",
        "Conv3DTranspose",
        "SeparableConv1D",
        "SeparableConv2D",
    )
)
SQUASHING = frozenset(("sigmoid", "tanh", "softsign", "hard_sigmoid", "hard_tanh"))  # flat at both ends
ACTIVATIONS = frozenset(("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax"))
# values that go through are moved, scaled or averaged
_STRAIGHT = frozenset(
    (
        "Flatten",
        "Reshape",
        "Permute",
        "RepeatVector",
        "Identity",
        "Masking",
        "Dropout",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "SpatialDropout3D",
        "GaussianDropout",
        "GaussianNoise",
        "AlphaDropout",
        "ActivityRegularization",
        "ZeroPadding1D",
        "ZeroPadding2D",
        "ZeroPadding3D",
        "Cropping1D",
        "Cropping2D",
        "Cropping3D",
        "UpSampling1D",
        "UpSampling2D",
        "UpSampling3D",
        "AveragePooling1D",
        "AveragePooling2D",
        "AveragePooling3D",
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "GlobalAveragePooling3D",
        "BatchNormalization",
        "Normalization",
        "Rescaling",
        "Embedding",
    )
)
_POOLS = frozenset(
    f"{place}MaxPooling{axes}D" for place in ("", "Global") for axes in (1, 2, 3)
)  # bends, but is no activation


def kernel_of(layer: LayerFacts) -> tuple[int, ...] | None:
    """The shape of a layer's kernel; None without one."""
    shapes = [
        weight.shape for weight in layer.weights if weight.path.rpartition("/")[2] in ("kernel", "pointwise_kernel")
    ]
    return shapes[-1] if shapes and len(shapes[-1]) > 1 else None


class Wiring:
    """The innermost layers of a model, and the ways between them.

    Args:
        facts: Of the model, with the trace of its training step.

    Attributes:
        layers: By path, in the order of their calls, as far as that was seen. Layers that are made of others stand
            for these if they are Keras' own (recurrent ones, attention), else the others stand for them.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        train = facts.phases.get("train")
        order = {
            path.partition("#")[0]: place for place, path in reversed(list(enumerate(train.calls if train else ())))
        }
        inner = _innermost(facts.model.layers)
        self.layers = {layer.path: layer for layer in sorted(inner, key=lambda each: order.get(each.path, len(order)))}

    @cached_property
    def behind(self) -> dict[str, tuple[str, ...]]:
        """The layers that each layer feeds."""
        found: dict[str, list[str]] = {path: [] for path in self.layers}
        for layer in self.layers.values():
            for path in layer.after:
                if path in found:
                    found[path].append(layer.path)
        return {path: tuple(after) for path, after in found.items()}

    @cached_property
    def ends(self) -> frozenset[str]:
        """The layers whose values are outputs, but for activations and shapes; the last one where that is unknown."""
        waiting = [each.layer for each in self._facts.model.outputs if each.layer in self.layers]
        if not waiting:
            weighed = [path for path, layer in self.layers.items() if layer.weights]
            return frozenset(weighed[-1:])
        found: set[str] = set()
        while waiting:
            path = waiting.pop()
            if path is None or path in found:
                continue
            found.add(path)
            layer = self.layers[path]
            if layer.kind in ACTIVATIONS or (layer.kind in _STRAIGHT and not layer.weights):
                waiting += [each for each in layer.after if each in self.layers]
        return frozenset(found)

    @cached_property
    def hidden(self) -> tuple[LayerFacts, ...]:
        """The layers with a kernel that are no outputs, in order."""
        return tuple(each for each in self.layers.values() if each.kind in WEIGHED and each.path not in self.ends)

    def activation(self, path: str) -> str | None:
        """What is applied to a layer's values: its own activation, or that of the only layer that gets them."""
        seen: set[str] = set()
        while path in self.layers and path not in seen:
            seen.add(path)
            layer = self.layers[path]
            if layer.activation not in (None, "linear"):
                return layer.activation
            after = self.behind[path]
            if len(after) != 1 or not (self.layers[after[0]].kind in ACTIVATIONS or self.straight(after[0])):
                return layer.activation
            path = after[0]
        return None

    def straight(self, path: str) -> bool:
        """Whether a layer moves, scales or averages values, and no more."""
        return self.layers[path].kind in _STRAIGHT

    @cached_property
    def known(self) -> bool:
        """Whether all ways between layers are known: of a graph without layers of a user's own, or operations."""
        train = self._facts.phases.get("train")
        begin = [layer for layer in self.layers.values() if not layer.after]
        own = any(layer.own or layer.kind == "Lambda" for layer in self._facts.model.layers)
        return self._facts.model.kind != "subclassed" and not own and len(begin) <= max(1, len(train.x) if train else 1)

    def cuts(self, path: str) -> bool:
        """Whether no way leads from an input to an end but through a hidden layer, of a graph that is known."""
        waiting = [each for end in self.ends for each in (end, *self.layers[end].after)]
        seen = {path}
        while waiting:
            each = waiting.pop()
            if each in seen or each not in self.layers:
                continue
            seen.add(each)
            if not self.layers[each].after:
                return False
            waiting += self.layers[each].after
        return True

    @cached_property
    def rebuilds(self) -> bool:
        """Whether the output has the size of the input, as that of an autoencoder."""
        train = self._facts.phases.get("train")
        if train is None or len(train.x) != 1 or len(train.y_pred) != 1:
            return False
        one, other = (prod(axis or 0 for axis in each.shape[1:]) for each in (train.x[0], train.y_pred[0]))
        return one == other > 1

    @cached_property
    def narrows(self) -> bool:
        """Whether a hidden layer is narrower than both what it gets and what the next one gives."""
        return any(not self.widens(pair) for pair in self.stacked)

    @cached_property
    def bends(self) -> tuple[str, ...]:
        """The layers before the outputs that are no linear map, as far as is known; pooling is not counted."""
        return tuple(
            path
            for path, layer in self.layers.items()
            if path not in self.ends
            and not (layer.kind in WEIGHED and layer.activation in (None, "linear"))
            and layer.kind not in _STRAIGHT | _POOLS
            and not (layer.kind == "Activation" and layer.activation == "linear")
        )

    @cached_property
    def stacked(self) -> tuple[tuple[str, str], ...]:
        """Pairs of layers with kernels, the second fed by nothing but the first, with nothing that bends in between."""
        found = []
        for path, layer in self.layers.items():
            if layer.kind not in WEIGHED or layer.activation not in (None, "linear"):
                continue
            after = self.behind[path]
            while len(after) == 1 and self.layers[after[0]].kind in _STRAIGHT | _POOLS and self._alone(after[0]):
                after = self.behind[after[0]]
            if len(after) == 1 and self.layers[after[0]].kind in WEIGHED and self._alone(after[0]):
                found.append((path, after[0]))
        return tuple(found)

    def _alone(self, path: str) -> bool:
        return len(self.layers[path].after) == 1

    def widens(self, pair: tuple[str, str]) -> bool:
        """Whether the first of two layers in a row is at least as wide as what it joins, so that it adds nothing.

        A narrower one is a factorisation, of which linear autoencoders and low ranks are made.
        """
        one, other = (self.layers[path] for path in pair)
        kernel, following = kernel_of(one), kernel_of(other)
        if kernel is None or following is None:
            return False
        if len(kernel) == len(following) == 2:
            return kernel[-1] >= min(kernel[-2], following[-1])
        return len(kernel) > 2 and not (len(following) > 2 and set(following[:-2]) == {1})


def _innermost(layers: tuple[LayerFacts, ...]) -> list[LayerFacts]:
    found: list[LayerFacts] = []
    closed: list[str] = []
    for layer in layers:
        if any(layer.path.startswith(each) for each in closed) or not layer.path:
            continue
        holds = any(each.path.startswith(f"{layer.path}/") for each in layers)
        if holds and not layer.own and layer.kind not in ("Sequential", "Functional", "Model", "TimeDistributed"):
            closed.append(f"{layer.path}/")
            holds = False
        if not holds:
            found.append(layer)
    return found
