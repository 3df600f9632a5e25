"""What changed between two runs: `run.compare(other)`.

`compare` puts it together; `matching` says which samples are the same, `outputs` compares one output, `bootstrap`,
`sums` and `ranked` make the intervals, `findings` and `settings` compare what needs no samples.
"""

from truetap.comparison.compare import compare
from truetap.comparison.findings import FindingsChange
from truetap.comparison.result import Comparison
from truetap.comparison.settings import Setting

__all__ = ["Comparison", "FindingsChange", "Setting", "compare"]
