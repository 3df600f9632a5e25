"""Whether a hand-written training step does what `fit` does, and if not, why.

Both run on one batch from the same state. Where they differ, known mistakes are made on purpose in
`fit`'s own step, alone and together, until one gives the loop's numbers.
"""

from truetap.agreement.compare import compare_with_fit
from truetap.agreement.result import Agreement, Difference, VariableDifference

__all__ = ["Agreement", "Difference", "VariableDifference", "compare_with_fit"]
