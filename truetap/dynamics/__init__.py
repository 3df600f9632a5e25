"""What a recorded training says of single samples: how each was learned, and whose label is probably wrong.

Read from the rows that `tt.Outputs()` records: no extra pass, no second training. One pass over the
rows for `run.dynamics`, two for `run.label_issues`; memory for some numbers per sample, never for the
predictions of all epochs. What makes a label suspicious is in `suspicion`, which epochs count in
`epoch_weights`; both know nothing of files.
"""

from truetap.dynamics.hardest import hardest
from truetap.dynamics.issues import label_issues
from truetap.dynamics.table import dynamics

__all__ = ["dynamics", "hardest", "label_issues"]
