"""HTML of headlines, tables and findings for `_repr_html_`: every string is data, and escaped here.

One style for all, in the colour of the text around: a page may be light or dark. No script; where a notebook's page
drops the style, plain tables are left.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from typing import Any

from truetap.showing import Table, printable

__all__ = ["Html", "findings", "page", "table", "text"]

_STYLE = (
    "<style>"
    ".truetap{line-height:1.4;overflow-x:auto}"
    ".truetap a{color:inherit}"
    ".truetap table{border-collapse:collapse;margin:.3em 0 .8em;font-variant-numeric:tabular-nums}"
    ".truetap caption{caption-side:top;text-align:left;font-weight:600;padding:0 0 .2em;color:inherit}"
    ".truetap th,.truetap td{padding:.15em .9em .15em 0;text-align:right;vertical-align:top;background:none;"
    "white-space:nowrap;max-width:40em;border:0;"
    "border-bottom:1px solid color-mix(in srgb,currentColor 18%,transparent)}"
    ".truetap .l{text-align:left;white-space:normal;overflow-wrap:break-word}"
    ".truetap .s{font-weight:600;border-left:.3em solid;padding-left:.5em;white-space:nowrap}"
    ".truetap .tt-error{border-left-color:#e5484d}"
    ".truetap .tt-warning{border-left-color:#d08700}"
    ".truetap .tt-note{border-left-color:#5b8def}"
    ".truetap p{margin:.3em 0}"
    ".truetap svg{max-width:100%;height:auto}"
    "</style>"
)


class Html(str):
    """A string that is HTML already, made by a function of this module."""

    __slots__ = ()


def text(value: object) -> Html:
    r"""A string as it is, with markup escaped and control characters spelt out.

    Example:
        >>> text("<b>\x1b[31m")
        '&lt;b&gt;\\x1b[31m'
    """
    return Html(html.escape(printable(str(value))))


def page(head: str, *parts: Table | str, notes: Iterable[str] = ()) -> str:
    """What a notebook shows: a headline, then tables and sentences, or what is HTML already, then notes."""
    shown = [f"<p><strong>{text(head)}</strong></p>"] if head else []
    shown += [part if isinstance(part, Html) else _part(part) for part in parts]
    shown += [f"<p><em>{text(note)}</em></p>" for note in notes]
    return f'{_STYLE}<div class="truetap">{"".join(shown)}</div>'


def table(given: Table) -> Html:
    """A table; its first columns, those of text, stand to the left."""

    def cells(row: Iterable[str], tag: str, scope: str = "") -> str:
        aligned = (' class="l"' if at < given.left else "" for at in range(len(given.columns)))
        return "".join(f"<{tag}{scope}{how}>{text(cell)}</{tag}>" for cell, how in zip(row, aligned, strict=True))

    title = f"<caption>{text(given.title)}</caption>" if given.title else ""
    head = cells(given.columns, "th", ' scope="col"')
    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in given.rows)
    more = f"<p>{text(given.more)}</p>" if given.more else ""
    return Html(f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}")


def findings(found: Iterable[Mapping[str, Any]]) -> Html:
    """Findings, as `to_dict` gives them, as a table: severity, rule, what was seen, why, what to do."""
    rows = "".join(
        f'<tr><td class="l s tt-{text(each["severity"])}">{text(each["severity"])}</td>'
        f'<td class="l"><strong>{text(each["rule"])}</strong>{_place(each["where"])}</td>'
        f'<td class="l">{text(each["seen"])}</td>'
        f'<td class="l">{text(each["why"])} <strong>{text(each["do"])}</strong>{_source(each["reference"])}</td></tr>'
        for each in found
    )
    if not rows:
        return Html("")
    head = "".join(f'<th scope="col" class="l">{name}</th>' for name in ("", "rule", "seen", "why, and what to do"))
    return Html(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")


def _part(part: Table | str) -> str:
    return table(part) if isinstance(part, Table) else f"<p>{text(part)}</p>"


def _place(where: str | None) -> str:
    return "" if where is None else f"<br>at {text(where)}"


def _source(reference: str | None) -> str:
    """A page as a link, if it is one; a paper in words."""
    if reference is None:
        return ""
    if reference.startswith("https://") and " " not in reference:
        return f' See <a href="{text(reference)}" rel="noreferrer">{text(reference)}</a>.'
    return f" See {text(reference)}."
