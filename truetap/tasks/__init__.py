"""What an output's values mean: which task, which encoding, logits or probabilities.

Labels and metrics need that answer, and Keras keeps it nowhere. `infer` finds it in one streaming
pass from the loss' name, the activation, the shapes and the values; `true_labels`, `pred_labels` and
`probabilities` read values by it. NumPy alone.
"""

from truetap.tasks.infer import infer
from truetap.tasks.labels import pred_labels, probabilities, true_labels
from truetap.tasks.task import Hint, OutputTask, Task

__all__ = ["Hint", "OutputTask", "Task", "infer", "pred_labels", "probabilities", "true_labels"]
