"""What a step costs: torch calls and elements touched, as numbers and as polynomials in the sizes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from recc.ir.nodes import Arange, Binary, Const, Expr, Fixpoint, Let, Reduce, Ref, Size, SizeOf, Var
from recc.ir.traverse import children, nodes
from recc.passes.lower_convolution import System

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

# One step of a padded real transform of 4096 steps, there and back: 2 x 5/2 log2(8192), split over input and output.
TRANSFORM_OPERATIONS = 64
MIXING_OPERATIONS = 8  # a complex product and sum at a frequency

# Measured on a two-core CPU in float32: what a torch call costs, and what an element of a call costs.
CALL_SECONDS = 5e-6
ELEMENT_SECONDS = 4e-10

# The sizes at which explanations say what is chosen, and at which choices are made while compiling.
EXAMPLE_STEPS, EXAMPLE_ROWS, EXAMPLE_SIZE = 4096, 8, 64
EXAMPLE_ROUNDS = 10  # of a fixed point


def estimate(once: Cost, scanned: Cost, sizes: dict[str, int], steps: int, rows: int) -> tuple[float, float]:
    """Seconds that a sequential walk and a scan are expected to take; emitted modules hold the same formula."""
    depth = min(steps, 2 * math.isqrt(max(steps, 1)) + 16)
    touched = [ELEMENT_SECONDS * rows * steps * cost.at(sizes) for cost in (once, scanned)]
    return steps * CALL_SECONDS * once.calls + touched[0], depth * CALL_SECONDS * scanned.calls + touched[1]


def convolution_cost(systems: tuple[System, ...]) -> Cost:
    """Operations a step and row: the transforms of inputs and outputs, and at every frequency a matrix between them.

    The response to an impulse is made once for all rows, and is not counted."""
    total = NOTHING
    for system in systems:
        shared = tuple(axis.size for axis in system.shared)
        inputs, outputs = (_own_sizes(side, system) for side in (system.inputs, system.kept))
        elements: Counter[Monomial] = Counter()
        for own in inputs + outputs:
            elements[_monomial(shared, own)] += TRANSFORM_OPERATIONS
        total = total + Cost(0, tuple(elements.items()))
        for own in inputs:
            total = total + Cost(0, tuple((_monomial(shared, own, other), MIXING_OPERATIONS) for other in outputs))
    return total


def _own_sizes(variables: tuple[Var, ...], system: System) -> list[Monomial]:
    """The sizes of variables without the axes that the system's variables share."""
    return [tuple(axis.size for axis in var.axes if axis not in system.shared) for var in variables]


def _monomial(*sizes: Monomial) -> Monomial:
    return tuple(sorted((size for part in sizes for size in part), key=str))


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
    if isinstance(node, Fixpoint):
        return cost_of(node.lets, (node.result,)).times(EXAMPLE_ROUNDS)
    axes = node.axes
    if isinstance(node, Reduce):
        axes = node.axes + tuple(axis for axis in node.over if axis not in node.axes)
        if isinstance(node.x, Binary) and node.x.op == "mul":
            return NOTHING  # counted with the product inside
    if not children(node):
        return NOTHING
    monomial = tuple(sorted((axis.size for axis in axes), key=str))
    return Cost(1, ((monomial, 1),))
