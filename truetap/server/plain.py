"""Parts of a report as plain data for the page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from truetap.report.content import Content, Found, Sample, Section

__all__ = ["found_json", "samples_json", "section_json"]


def section_json(section: Section | None) -> dict[str, Any] | None:
    """A section as the page takes it."""
    return None if section is None else _content(sections=(section,))["sections"][0]


def found_json(findings: tuple[Found, ...]) -> list[dict[str, Any]]:
    """Findings as the page takes them."""
    listed: list[dict[str, Any]] = _content(findings=findings)["findings"]
    return listed


def samples_json(samples: Mapping[str, Sample]) -> dict[str, Any]:
    """Samples by key as the page takes them."""
    found: dict[str, Any] = _content(samples=samples)["samples"]
    return found


def _content(**given: Any) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(("facts", "findings", "skipped", "sections"), ())
    return Content(**{"title": "", "said": "", "verdict": "", **empty, **given}).to_json()
