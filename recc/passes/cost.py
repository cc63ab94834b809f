"""What a step costs: torch calls and elements touched, as numbers and as polynomials in the sizes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from recc.ir.nodes import Arange, Binary, Const, Expr, Let, Reduce, Ref, Size, SizeOf
from recc.ir.traverse import children, nodes

Monomial = tuple[Size, ...]


@dataclass(frozen=True)
class Cost:
    """Operations of a stretch of code: how many calls, and elements by monomials in the sizes (`{(K, V): 3}`)."""

    calls: int
    elements: tuple[tuple[Monomial, int], ...]

    def formula(self) -> str:
        """`3 K V + 2 V + 1`, largest first."""
        ordered = sorted(self.elements, key=lambda item: (-len(item[0]), tuple(map(str, item[0]))))
        return " + ".join(" ".join([*([str(n)] if n > 1 or not m else []), *map(str, m)]) for m, n in ordered) or "0"

    def at(self, sizes: dict[str, int]) -> int:
        """The number of elements at given sizes."""
        total = 0
        for monomial, count in self.elements:
            for size in monomial:
                count *= size if isinstance(size, int) else sizes[size]
            total += count
        return total

    def __add__(self, other: Cost) -> Cost:
        merged = Counter(dict(self.elements))
        merged.update(dict(other.elements))
        return Cost(self.calls + other.calls, tuple(merged.items()))

    def times(self, factor: int) -> Cost:
        return Cost(self.calls * factor, tuple((monomial, count * factor) for monomial, count in self.elements))


NOTHING = Cost(0, ())

# Measured on a two-core CPU in float32: what a torch call costs, and what an element of a call costs.
CALL_SECONDS = 5e-6
ELEMENT_SECONDS = 4e-10


def estimate(once: Cost, scanned: Cost, sizes: dict[str, int], steps: int, rows: int) -> tuple[float, float]:
    """Seconds that a sequential walk and a scan are expected to take; emitted modules hold the same formula."""
    depth = min(steps, 2 * math.isqrt(max(steps, 1)) + 16)
    touched = [ELEMENT_SECONDS * rows * steps * cost.at(sizes) for cost in (once, scanned)]
    return steps * CALL_SECONDS * once.calls + touched[0], depth * CALL_SECONDS * scanned.calls + touched[1]


def cost_of(lets: tuple[Let, ...], results: tuple[Expr, ...]) -> Cost:
    """The cost of definitions and results once. A product that is summed at once counts as one operation."""
    total = NOTHING
    for expr in tuple(let.expr for let in lets) + results:
        for node in nodes(expr):
            total = total + _node_cost(node)
    return total


def _node_cost(node: Expr) -> Cost:
    if isinstance(node, (Const, SizeOf, Ref, Arange)):
        return NOTHING
    axes = node.axes
    if isinstance(node, Reduce):
        axes = node.axes + tuple(axis for axis in node.over if axis not in node.axes)
        if isinstance(node.x, Binary) and node.x.op == "mul":
            return NOTHING  # counted with the product inside
    if not children(node):
        return NOTHING
    monomial = tuple(sorted((axis.size for axis in axes), key=str))
    return Cost(1, ((monomial, 1),))
