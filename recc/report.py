"""What `recc explain` says: structure with its proofs, refusals with their culprits, methods with their costs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from recc.backends.torch.estimate import step_work
from recc.expectation import Expectation, expectation
from recc.explanation import component_json, component_lines
from recc.ir.nodes import Recurrence, Size, Var
from recc.passes.admission import admissions
from recc.passes.analyse import Analysis
from recc.passes.cost import (
    EXAMPLE_ROWS,
    EXAMPLE_SIZE,
    EXAMPLE_STEPS,
    NOTHING,
    RATES,
    Cost,
    Monomial,
    PassCost,
    convolution_cost,
    cost_of,
)
from recc.passes.lower_convolution import ConvolutionPlan, NoConvolution, convolution_of
from recc.passes.lower_scan import LevelPlan, is_scannable, lower_scan
from recc.runtime.costs import Rates, expected_seconds

SPECTRUM_PASSES = 10  # over padded complex spectra, in values of inputs and outputs


@dataclass(frozen=True)
class Method:
    """An admissible method: operations and float32 bytes a step and row, and the longest chain of dependent steps."""

    name: str
    work: Cost
    bytes: Cost
    depth: str


@dataclass(frozen=True)
class Report:
    """The findings about one recurrence, as text or as JSON."""

    recurrence: Recurrence
    analysis: Analysis

    @cached_property
    def levels(self) -> tuple[LevelPlan, ...]:
        return lower_scan(self.recurrence, self.analysis) if is_scannable(self.analysis) else ()

    @cached_property
    def methods(self) -> tuple[Method, ...]:
        """The methods that the proofs admit."""
        recurrence = self.recurrence
        once = cost_of(recurrence.lets, (*recurrence.updates, *(item.expr for item in recurrence.outputs)))
        moved = _elements(recurrence.inputs + tuple(item.var for item in recurrence.outputs)).times(4)
        found = [Method("sequential", once, moved, "T")]
        if self.levels:
            work = once
            for level in self.levels:
                work = work + cost_of(level.compose.lets, level.compose.updates)
            passes = len(self.levels) + 1
            found.append(Method("scan", work, moved.times(passes), f"{passes} tile + T / tile"))
        if isinstance(self.convolution, ConvolutionPlan):
            work = convolution_cost(self.convolution.systems)
            found.append(Method("convolution", work, moved.times(SPECTRUM_PASSES), "log T"))
        return tuple(found)

    @cached_property
    def convolution(self) -> ConvolutionPlan | NoConvolution:
        return convolution_of(self.recurrence)

    @property
    def choice(self) -> tuple[str, str]:
        """What `auto` takes at the example's sizes, and why."""
        if not self.levels:
            return "sequential", "no other method is proved to be right"
        sizes = dict.fromkeys(_names(self.recurrence), EXAMPLE_SIZE) | dict(self.recurrence.sizes)
        sequential, scan = self.methods[:2]
        work = step_work(PassCost(sequential.work, scan.work, NOTHING), sizes)
        times = expected_seconds((work,), Rates(*RATES), EXAMPLE_STEPS, EXAMPLE_ROWS, 1)
        name = "scan" if times.scan < times.sequential else "sequential"
        at = f"T = {EXAMPLE_STEPS}, {EXAMPLE_ROWS} rows, sizes {EXAMPLE_SIZE}"
        return (
            name,
            f"expected at {at}: sequential {_time(times[0])}, scan {_time(times[1])}; decided anew in every call",
        )

    def expected(self, sizes: Mapping[str, int], threads: int = 1) -> Expectation:
        """How long every method and backend should take at given sizes. Raises: SizesError."""
        methods = {method.name: (method.work, method.bytes) for method in self.methods}
        return expectation(self.recurrence, self.analysis, methods, sizes, threads)

    def text(self) -> str:
        """Findings for a person."""
        about = "".join(c if c.isprintable() else " " for c in self.recurrence.doc.strip().partition("\n")[0])
        lines = [f"{self.recurrence.name}: {about}" if about else self.recurrence.name, "", "structure"]
        for component in self.analysis.components:
            lines += component_lines(component)
        lines += ["", "methods" + " " * 9 + "work, bytes a step (float32) and dependent steps"]
        for method in self.methods:
            lines.append(f"  {method.name:<12}  {method.work.formula()} operations")
            lines.append(f"  {'':<12}  {method.bytes.formula()} bytes; depth {method.depth}")
            if method.name == "scan":
                lines += [f"  {'':<12}  {level.remark}" for level in self.levels if level.remark]
        if not self.levels:
            lines.append(f"  {'scan':<12}  refused: {self._refusal()}")
        elif isinstance(self.convolution, NoConvolution):
            lines.append(f"  {'convolution':<12}  refused: {self._no_convolution(self.convolution)}")
        built = {method.name for method in self.methods}
        for item in admissions(self.analysis):
            if item.admitted and item.name not in built | {"convolution"}:
                lines.append(f"  {item.name:<12}  not built yet, but admitted: {item.reason}")
        name, why = self.choice
        lines += ["", f"auto: {name}", f"  {why}"]
        return "\n".join(line.rstrip() for line in lines) + "\n"

    def _refusal(self) -> str:
        return self.analysis.refusals[0].reason

    def _refused(self) -> dict[str, str]:
        """Why there is no scan and no convolution, where there is none."""
        found = {} if self.levels else {"scan": self._refusal()}
        if isinstance(self.convolution, NoConvolution):
            found["convolution"] = self._no_convolution(self.convolution)
        return found

    def _no_convolution(self, found: NoConvolution) -> str:
        return f"{found.text} is {found.reason}"

    def json(self, expected: Expectation | None = None) -> str:
        """The same for programs, with what is expected at some sizes if that is given."""
        name, why = self.choice
        found: dict[str, Any] = {
            "name": self.recurrence.name,
            "doc": self.recurrence.doc,
            "constants": dict(self.recurrence.constants),
            "components": [component_json(component) for component in self.analysis.components],
            "methods": [
                {"name": m.name, "work": m.work.formula(), "bytes": m.bytes.formula(), "depth": m.depth}
                for m in self.methods
            ],
            "passes": [{"states": list(level.states), "remark": level.remark} for level in self.levels],
            "admits": [
                {"name": item.name, "admitted": item.admitted, "reason": item.reason}
                for item in admissions(self.analysis)
            ],
            "refused": self._refused(),
            "choice": {"method": name, "why": why},
        }
        if expected is not None:
            found["expected"] = expected.json()
        return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _elements(variables: tuple[Var, ...]) -> Cost:
    counts: dict[Monomial, int] = {}
    for var in variables:
        monomial = tuple(sorted(var.sizes, key=str))
        counts[monomial] = counts.get(monomial, 0) + (2 if var.complex else 1)
    return Cost(0, tuple(counts.items()))


def _names(recurrence: Recurrence) -> list[str]:
    sizes: list[Size] = [size for var in recurrence.variables for size in var.sizes]
    sizes += [size for item in recurrence.outputs for size in item.var.sizes]
    return list(dict.fromkeys(size for size in sizes if isinstance(size, str)))


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms"
