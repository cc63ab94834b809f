"""What `recc explain` says: structure with its proofs, refusals with their culprits, methods with their costs."""

from __future__ import annotations

import json
from dataclasses import dataclass

from recc.ir.nodes import Recurrence
from recc.passes.analyse import Analysis, Proof


@dataclass(frozen=True)
class Report:
    """The findings about one recurrence, as text or as JSON."""

    recurrence: Recurrence
    analysis: Analysis

    def text(self) -> str:
        lines = [self.recurrence.name]
        for component in self.analysis.components:
            verdict = component.verdict
            kind = verdict.algebra if isinstance(verdict, Proof) else f"refused: {verdict.reason}"
            lines.append(f"  {', '.join(component.states)}: {kind}")
        return "\n".join(lines) + "\n"

    def json(self) -> str:
        return json.dumps({"name": self.recurrence.name}, indent=2)
