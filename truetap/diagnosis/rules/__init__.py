"""The rules of `tt.lint`, `run.diagnose` and `tt.Watch`, one file each.

A module is named as its rule and has one class; all of them are found here, in alphabetical order. Which rule gives
way to which is said by the rules (`after`), and which finding stands first by its severity and certainty.

A threshold with a name or a paper beside it is taken from there. Any other is our own: set beside the first part of the
programs in `benchmarks/programs/`, mended once on the second, and counted on the third, which was written afterwards by
authors who knew neither (`benchmarks/RESULTS.md`). What a model "learnt", "explains" or what its "skill" is: 1 for
all that there is to learn, 0 for what a constant answer has (`truetap.diagnosis.course`, `truetap.diagnosis.learnt`).
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from truetap.rules.rule import Rule

__all__ = ["RULES"]


def _found() -> tuple[Rule[Any], ...]:
    rules = []
    for module in sorted(each.name for each in iter_modules(__path__)):
        loaded = import_module(f"{__name__}.{module}")
        rules.append(getattr(loaded, loaded.__all__[0])())
    return tuple(rules)


RULES: tuple[Rule[Any], ...] = _found()
