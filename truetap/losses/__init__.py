"""Losses that are right with masks, class weights and sample weights, and losses that see more of the batch.

Each wraps a Keras loss or a plain function, computes one value per sample (or per element) and leaves the
mean to Keras: so weights and masks are applied once, before the mean, and what is divided by is what counts.
They work in `compile(loss=…)`, alone, and inside one another; compiled or not, on every backend; they are
saved with the model. Not for what has no value per sample, such as a Dice score over the whole batch.

What they do costs nothing measurable in a compiled step. Where Keras' own loss has one mean over all
elements, without masks or weights, each gives the same number.
"""

from truetap.loss_context import given
from truetap.losses.class_weighted import ClassWeighted
from truetap.losses.contextual import Contextual
from truetap.losses.joint import Joint
from truetap.losses.masked import Masked
from truetap.losses.masks import from_x

__all__ = ["ClassWeighted", "Contextual", "Joint", "Masked", "from_x", "given"]
