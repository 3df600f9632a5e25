"""The rules of `check_loss`, in the order in which they run: causes before what follows from them."""

from truetap.loss_checks.evidence import Evidence
from truetap.loss_checks.rules.direction import WrongDirection
from truetap.loss_checks.rules.finite import Float16Overflow, NotFinite, NotFiniteAtBorder
from truetap.loss_checks.rules.gradients import GradientRaises, NoGradient, WrongGradient
from truetap.loss_checks.rules.labels import LabelsRounded, LabelsTruncated, SwappedArguments
from truetap.loss_checks.rules.masking import MeanOverMasked
from truetap.loss_checks.rules.ranks import ImplicitBroadcast, UnalignedRanks
from truetap.loss_checks.rules.reduction import BatchStatistics, PartialBatch, ReducedBeforeWeights
from truetap.loss_checks.rules.running import DoesNotRun, DoesNotTrace, DynamicShape, NotRepeatable, ValueInPython
from truetap.loss_checks.rules.saving import NotRestored
from truetap.loss_checks.rules.unknown_batch import UnknownBatch
from truetap.loss_checks.rules.weights import WeightsShape
from truetap.rules.rule import Rule

__all__ = ["RULES"]

RULES: tuple[Rule[Evidence], ...] = (
    UnalignedRanks(),
    DoesNotRun(),
    ValueInPython(),
    DynamicShape(),
    DoesNotTrace(),
    NotRepeatable(),
    ImplicitBroadcast(),
    PartialBatch(),
    SwappedArguments(),
    UnknownBatch(),
    ReducedBeforeWeights(),
    BatchStatistics(),
    WeightsShape(),
    LabelsRounded(),
    Float16Overflow(),
    NotFinite(),
    GradientRaises(),
    NoGradient(),
    LabelsTruncated(),
    MeanOverMasked(),
    WrongGradient(),
    NotFiniteAtBorder(),
    WrongDirection(),
    NotRestored(),
)
