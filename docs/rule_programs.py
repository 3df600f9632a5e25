"""Programs for the pages of the rules: what stands in `rule_trainings` and `loss_examples`, with just what it uses.

The text is that of the modules, cut at its top-level names: a page shows what was run.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from types import ModuleType

from rule_trainings import group_of

__all__ = ["of_loss", "of_training"]

_RUN = """
model, data, options = {rule}(mended=False)
recorder = tt.Recorder("runs/{rule}", taps="diagnose")
model.fit(*data, **options, callbacks=[recorder])
recorder.finish()
print(tt.open("runs/{rule}").diagnose(model))
"""


def of_training(rule: str) -> str:
    """A whole program: the data, the model, and how it is recorded and diagnosed."""
    imports, parts = _gathered(group_of(rule), [rule])
    run = _RUN.format(rule=rule)
    if '"callbacks"' in "".join(parts):
        run = run.replace("model.fit(*data, **options, callbacks=[recorder])", _WITH_CALLBACKS)
    return "\n\n\n".join(["\n".join([*_sorted(imports), "", "import truetap as tt"]), *parts]) + "\n\n" + run


_WITH_CALLBACKS = 'model.fit(*data, callbacks=[recorder, *options.pop("callbacks")], **options)'


def of_loss(module: ModuleType, rule: str) -> str:
    """A loss that fires a rule of `tt.check_loss`: what its example uses, without the arrays."""
    entry = next(
        value
        for node in ast.parse(_text(module)).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for key, value in zip(node.value.keys, node.value.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == rule
    )
    assert isinstance(entry, ast.Tuple)
    loss = entry.elts[0]
    _, parts = _gathered(module, sorted(_names(loss)))
    made = [] if isinstance(loss, ast.Name) else [f"loss = {ast.unparse(loss)}"]
    return "\n\n\n".join([*parts, *made])


def _text(module: ModuleType) -> str:
    assert module.__file__ is not None
    return Path(module.__file__).read_text(encoding="utf-8")


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _gathered(module: ModuleType, wanted: list[str]) -> tuple[list[ast.ImportFrom | ast.Import], list[str]]:
    """The imports and the definitions that some names of a module need, in their order; of other modules first."""
    text = _text(module)
    tree = ast.parse(text).body
    defined = {name: node for node in tree for name in _defines(node)}
    imported = {
        alias.asname or alias.name: (node, alias)
        for node in tree
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    needed: set[str] = set()
    queue = list(wanted)
    while queue:
        name = queue.pop()
        if name not in needed:
            needed.add(name)
            queue += _names(defined[name]) if name in defined else ()
    imports: list[ast.ImportFrom | ast.Import] = []
    parts: list[str] = []
    for name in sorted(needed & imported.keys() - defined.keys()):
        node, alias = imported[name]
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rule_trainings"):
            more, before = _gathered(importlib.import_module(str(node.module)), [alias.name])
            imports += more
            parts += [each for each in before if each not in parts]
        elif isinstance(node, ast.ImportFrom):
            imports.append(ast.ImportFrom(node.module, [alias], 0))
        else:
            imports.append(ast.Import([alias]))
    nodes = dict.fromkeys(node for node in tree if any(name in needed for name in _defines(node)))
    return imports, [*parts, *(_source(text, node) for node in nodes)]


def _defines(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    return [each.id for each in node.targets if isinstance(each, ast.Name)] if isinstance(node, ast.Assign) else []


def _source(text: str, node: ast.stmt) -> str:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
    first = min([node.lineno, *(each.lineno for each in decorators)])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])


def _sorted(imports: list[ast.ImportFrom | ast.Import]) -> list[str]:
    """Lines of imports, those of one module as one."""
    plain = sorted({ast.unparse(each) for each in imports if isinstance(each, ast.Import)})
    names: dict[str, set[str]] = {}
    for each in imports:
        if isinstance(each, ast.ImportFrom):
            names.setdefault(str(each.module), set()).update(alias.name for alias in each.names)
    return [*plain, *(f"from {module} import {', '.join(sorted(found))}" for module, found in sorted(names.items()))]
