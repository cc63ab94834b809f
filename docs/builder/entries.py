"""Everything that a page of the gallery tells about one spec."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from recc.catalogue import shipped
from recc.compiler import analyse
from recc.frontend import syntax
from recc.frontend.parse import parse_file
from recc.report import Report

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Entry:
    """One shipped spec, and what verification said of it."""

    name: str
    path: Path
    results: tuple[Row, ...]

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> syntax.Recurrence:
        return parse_file(self.path).recurrences[0]

    @cached_property
    def report(self) -> Report:
        return analyse(self.path)

    @cached_property
    def told(self) -> dict[str, Any]:
        """The report, as programs get it."""
        return json.loads(self.report.json())

    @property
    def about(self) -> list[str]:
        """The paragraphs of the docstring: what it is and where from, then remarks."""
        first, _, rest = self.tree.doc.strip().partition("\n")
        return [part for part in (first.strip(), " ".join(rest.split())) if part]

    @property
    def structures(self) -> list[str]:
        return list(dict.fromkeys(component["structure"] for component in self.told["components"]))

    @property
    def methods(self) -> list[str]:
        return [method["name"] for method in self.told["methods"]]

    @property
    def group(self) -> str:
        """Where the spec lies below `specs/`."""
        return self.path.parent.name


def entries(verified: Iterable[Row]) -> list[Entry]:
    """The shipped specs in order of name, each with its rows of the verification."""
    rows: dict[str, list[Row]] = {}
    for row in verified:
        rows.setdefault(row["recurrence"], []).append(row)
    return [Entry(name, path, tuple(rows.get(name, ()))) for name, path in shipped().items()]
