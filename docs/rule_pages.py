"""The pages of the rules, written when the site is built: `write(folder)`, which conf.py calls.

What a rule means, its thresholds, what it reads and what explains it come from the rule itself; what it says and its
picture from docs/rule_runs/, which `make pictures` makes; the training from docs/rule_trainings/. A page's address is
`rules/NAME.html`; of a rule of `check_loss` `rules/check_loss.html#check-NAME`.
"""

from __future__ import annotations

import html
import inspect
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import loss_examples
from rule_pictures import FINDINGS, ON_TENSORFLOW, RUNS
from rule_programs import of_loss, of_training
from rule_quantities import QUANTITIES
from rule_trainings import GROUPS, TRAININGS

from truetap.diagnosis.evidence import Evidence
from truetap.diagnosis.rules import RULES
from truetap.loss_checks.rules import RULES as LOSS_RULES
from truetap.rules.rule import ANY

__all__ = ["write"]

_SEVERITIES = ("error", "warning", "note")
_INTRO = """# The rules

`tt.lint(model, data)` reads one batch through the real step before training, `run.diagnose()` what a run has recorded
with `taps="diagnose"`, `tt.Watch()` the same after each epoch of `fit`, and `tt.check_loss` a loss by itself. They are
made of small rules. A finding of a rule has a severity, and says what was seen and where, why it matters and what to
do. A rule that would repeat what another one explains gives way to it. `ignore=["NAME"]` leaves a rule out.

Each page has a smallest training that makes the rule speak, as a whole program, and what was recorded of it beside the
same training mended, of which no rule has an error or a warning. "found by" tells who found it in that training: `lint`
before the first step; `diagnose` after the last one, by the record alone; `diagnose(model)` with the model at hand.
"""


def write(folder: Path) -> None:
    """Writes the pages into a folder, and takes away those of rules that are gone."""
    found = json.loads(FINDINGS.read_text(encoding="utf-8"))
    pages = {"index": _index(found["trainings"]), "check_loss": _loss_page(found["losses"])}
    pages |= {rule.name: _page(rule, found["trainings"][rule.name]) for rule in RULES}
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.md"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:  # else Sphinx reads it again
            path.write_text(text, encoding="utf-8")


# --- the index -----------------------------------------------------------------------------------------


def _index(found: Mapping[str, Any]) -> str:
    by_name = {rule.name: rule for rule in RULES}
    parts = [_INTRO]
    for group in GROUPS:
        title, _, question = str(group.__doc__).strip().splitlines()[0].partition(":")
        parts += [f"## {title}", f"{question.strip().capitalize()}", _TABLE]
        rows = [_row(by_name[name], found[name]) for name in sorted(group.__all__)]
        parts[-1] += "\n".join(rows)
    parts += ["## Losses by themselves", "What [`tt.check_loss`](check_loss.md) looks for.", _LOSS_TABLE]
    parts[-1] += "\n".join(
        f"| [`{rule.name}`](#check-{_slug(rule.name)}) | {_prose(_lines(rule)[0])} | {_severities(rule)} |"
        for rule in sorted(LOSS_RULES, key=lambda rule: rule.name)
    )
    names = [name for group in GROUPS for name in sorted(group.__all__)]
    parts.append("\n".join(["```{toctree}", ":hidden:", "", "check_loss", *names, "```"]))
    return "\n\n".join(parts) + "\n"


_TABLE = "| rule | what is wrong | severity | found by |\n| --- | --- | --- | --- |\n"
_LOSS_TABLE = "| rule | what is wrong | severity |\n| --- | --- | --- |\n"


def _row(rule: Any, kept: Mapping[str, Any]) -> str:
    after = "`diagnose`" if kept["without_model"] else "`diagnose(model)`"
    by = f"`lint`, {after}" if kept["lint"] else after
    return f"| [`{rule.name}`]({rule.name}.md) | {_prose(_meaning(rule))} | {_severities(rule)} | {by} |"


# --- a rule of a training ------------------------------------------------------------------------------


def _page(rule: Any, kept: Mapping[str, Any]) -> str:
    name, quantity = rule.name, QUANTITIES[rule.name]
    threshold = " The dotted line is the rule's threshold." if quantity.limit is not None else ""
    parts = [
        f"(rule-{_slug(name)})=\n# `{name}`",
        f"**{_prose(_meaning(rule))}**",
        _picture(name, f"the loss of each step, and {quantity.y}"),
        f"A training that is broken, and the same mended. Left: loss of each step. Right: {quantity.y}.{threshold}",
        "## What it says",
        _finding(kept["finding"]),
        _who(kept),
        "## When it speaks",
        _prose("\n\n".join(_paragraphs(rule))),
        _facts(rule),
        "## The training",
        f"```python\n{of_training(name)}```",
        f"With `mended=True` no rule has an error or a warning.{_refused(name)}",
    ]
    return "\n\n".join(parts) + "\n"


def _picture(name: str, words: str) -> str:
    """The SVG within the page, so that its text has the page's colour."""
    text = (RUNS / f"{name}.svg").read_text(encoding="utf-8")
    text = re.sub(r' color="#[0-9a-f]{6}"', "", text, count=1)
    text = text.replace(
        "<svg ", f'<svg aria-label="{html.escape(words)}" style="max-width:100%;height:auto;overflow:visible" ', 1
    )
    return f"```{{raw}} html\n{text}```"


def _who(kept: Mapping[str, Any]) -> str:
    after = "`run.diagnose()`" if kept["without_model"] else "`run.diagnose(model)`, with the model at hand,"
    if kept["lint"]:
        return f"Of this training `tt.lint` said so before the first step, and {after} afterwards."
    return f"Of this training {after} said so; one batch did not show it to `tt.lint`."


def _refused(name: str) -> str:
    if name not in ON_TENSORFLOW:
        return ""
    return " On torch the step raises at such labels; `tt.lint` says why."


def _facts(rule: Any) -> str:
    """Severities, needs, and how it stands to other rules."""
    lines = [f"- Severity: {_severities(rule)}."]
    needs = [f"`{need}` ({_first_line(getattr(Evidence, need))})" for need in rule.needs]
    lines.append(f"- Reads: {'; '.join(needs) if needs else 'whatever there is'}.")
    if ANY in rule.after:
        lines.append("- Gives way to every other error or warning: it is a symptom.")
    elif rule.after:
        lines.append(f"- Gives way to, since they would explain it: {_links(rule.after)}.")
    explains = [other.name for other in RULES if rule.name in other.after]
    if explains:
        lines.append(f"- Explains: {_links(explains)}.")
    if any(each.name == rule.name for each in LOSS_RULES):
        lines.append(f"- `tt.check_loss` has [a rule of this name](#check-{_slug(rule.name)}) too.")
    return "\n".join(lines)


def _links(names: Iterable[str]) -> str:
    return ", ".join(f"[`{name}`]({name}.md)" for name in sorted(names) if name in TRAININGS)


# --- the rules of check_loss ---------------------------------------------------------------------------


def _loss_page(found: Mapping[str, Any]) -> str:
    parts = [
        "# The rules of `tt.check_loss`",
        "Each with a loss that makes it speak, and what is said. The losses were run on batches of eight samples; "
        "they need `import keras` and `from keras import ops`.",
    ]
    family = None
    for rule in sorted(LOSS_RULES, key=_module_name):
        if family != _module_name(rule):
            family = _module_name(rule)
            parts.append(f"## {_meaning(rule).rstrip('.')}")
        links = ", ".join(f"[`{name}`](#check-{_slug(name)})" for name in sorted(rule.after))
        after = f"\n\nGives way to {links}." if links else ""
        example: Any = loss_examples.EXAMPLES[rule.name]
        named = zip(("labels", "outputs", "weights"), example[1:], strict=False)
        shapes = ", ".join(f"{name} of shape {value.shape}" for name, value in named)
        parts += [
            f"(check-{_slug(rule.name)})=\n### `{rule.name}`",
            _prose("\n\n".join(_paragraphs(rule))) + f" Severity: {_severities(rule)}.{after}",
            f"```python\n{of_loss(loss_examples, rule.name)}\n```",
            f"On {shapes}:",
            _finding(found[rule.name]["finding"]),
        ]
    return "\n\n".join(parts) + "\n"


# --- words ---------------------------------------------------------------------------------------------


def _finding(kept: Mapping[str, Any]) -> str:
    """A finding as it was said."""
    place = f" at {_plain(kept['where'])}" if kept["where"] else ""
    lines = [
        f"**{kept['severity']}{place}.** {_plain(kept['seen'])}",
        _plain(kept["why"]),
        f"*What to do:* {_plain(kept['do'])}",
    ]
    if kept["reference"]:
        lines.append(f"*Reference:* {_reference(kept['reference'])}")
    return "\n>\n".join(f"> {line}" for line in lines)


def _reference(text: str) -> str:
    issue = re.fullmatch(r"([\w.-]+/[\w.-]+)#(\d+)", text)
    if issue:
        return f"[{text}](https://github.com/{issue[1]}/issues/{issue[2]})"
    return f"<{text}>" if text.startswith("https://") else _plain(text)


def _meaning(rule: Any) -> str:
    return str(inspect.getdoc(inspect.getmodule(type(rule)))).splitlines()[0]


def _module_name(rule: Any) -> str:
    return str(type(rule).__module__)


def _paragraphs(rule: Any) -> list[str]:
    return re.split(r"\n\s*\n", str(inspect.getdoc(type(rule))))


def _lines(rule: Any) -> list[str]:
    return str(inspect.getdoc(type(rule))).splitlines()


def _first_line(attribute: Any) -> str:
    found = str(inspect.getdoc(attribute)).splitlines()[0].rstrip(".").replace('"', "'")
    return _prose(found[0].lower() + found[1:])


def _severities(rule: Any) -> str:
    """Those that stand in the rule's source: in its class, or where this leaves it to a function, in its module."""
    alone = rule in RULES or "Severity." not in inspect.getsource(type(rule))
    source = inspect.getsource(inspect.getmodule(type(rule)) if alone else type(rule))  # type: ignore[arg-type]
    found = {each.lower() for each in re.findall(r"Severity\.([A-Z]+)", source)}
    *first, last = [each for each in _SEVERITIES if each in found]
    return f"{', '.join(first)} or {last}" if first else last


def _slug(name: str) -> str:
    return name.replace("_", "-")


def _prose(text: str) -> str:
    """Of a docstring: code stays code, what would be markup stays words."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([*<\[\]|])", r"\\\1", part) for part in parts)


def _plain(text: str) -> str:
    """Of a finding: all stays words."""
    return re.sub(r"([\\`*_<\[\]|])", r"\\\1", text)
