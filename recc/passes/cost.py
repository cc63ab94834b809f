"""What a step costs: torch calls and elements touched, as numbers and as polynomials in the sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from recc.ir.nodes import Arange, Binary, Const, Expr, Fixpoint, Let, Reduce, Ref, Size, SizeOf, Solve, Var
from recc.ir.traverse import children, names, nodes
from recc.passes.lower_convolution import System

VECTOR = 16  # numbers in a register


@dataclass(frozen=True)
class Vectors:
    """How many registers an axis takes."""

    size: Size

    def __str__(self) -> str:
        return f"[{self.size}/{VECTOR}]"

    @property
    def code(self) -> str:
        return f"-(-{self.size} // {VECTOR})"


Monomial: TypeAlias = "tuple[Size | Vectors, ...]"
Polynomial: TypeAlias = "tuple[tuple[Monomial, int], ...]"


@dataclass(frozen=True)
class Cost:
    """Operations of a stretch of code: how many calls, and elements by monomials in the sizes (`{(K, V): 3}`).

    `products` are elements of matrices that all rows share, multiplied with each row, where these are kept apart."""

    calls: int
    elements: Polynomial
    products: Polynomial = ()

    def formula(self) -> str:
        """`3 K V + 2 V + 1`, largest first."""
        ordered = sorted(self.elements, key=lambda item: (-len(item[0]), tuple(map(str, item[0]))))
        return " + ".join(" ".join([*([str(n)] if n > 1 or not m else []), *map(str, m)]) for m, n in ordered) or "0"

    def at(self, sizes: Mapping[str, int]) -> int:
        """The number of elements at given sizes."""
        return value_at(self.elements, sizes)

    def __add__(self, other: Cost) -> Cost:
        elements, products = _sum(self.elements, other.elements), _sum(self.products, other.products)
        return Cost(self.calls + other.calls, elements, products)

    def times(self, factor: int) -> Cost:
        elements, products = (tuple((m, n * factor) for m, n in part) for part in (self.elements, self.products))
        return Cost(self.calls * factor, elements, products)


def _sum(x: Polynomial, y: Polynomial) -> Polynomial:
    merged = Counter(dict(x))
    merged.update(dict(y))
    return tuple(merged.items())


def value_at(polynomial: Polynomial, sizes: Mapping[str, int]) -> int:
    """A polynomial's value at given sizes."""
    total = 0
    for monomial, count in polynomial:
        for item in monomial:
            size = item.size if isinstance(item, Vectors) else item
            number = size if isinstance(size, int) else sizes[size]
            count *= -(-number // VECTOR) if isinstance(item, Vectors) else number
        total += count
    return total


@dataclass(frozen=True)
class NativeCost:
    """Of a step in native code: operations on vectors of one row, or of so many `side` by side, and bytes of what is
    timed of each row; where time can be shared out, operations on vectors that sum the step up."""

    vectors: Polynomial
    bytes: Polynomial
    summed: Polynomial | None = None
    side: int = 1

    def __add__(self, other: NativeCost) -> NativeCost:
        vectors, nbytes = _sum(self.vectors, other.vectors), _sum(self.bytes, other.bytes)
        return NativeCost(vectors, nbytes, self.summed, self.side)


@dataclass(frozen=True)
class PassCost:
    """One pass over time: a step that is walked, the same in a scan (None without one), what is done for all steps at
    once, and a step in native code (None without it)."""

    walked: Cost
    scanned: Cost | None
    ahead: Cost
    native: NativeCost | None = None

    def after_replay(self, primal: PassCost) -> PassCost:
        """An adjoint's cost with that of the states that it needs, which are computed again."""
        scanned = None if self.scanned is None else primal.walked + self.scanned
        return replace(self, walked=primal.walked + self.walked, scanned=scanned, ahead=primal.ahead + self.ahead)


NOTHING = Cost(0, ())

# One step of a padded real transform of 4096 steps, there and back: 2 x 5/2 log2(8192), split over input and output.
TRANSFORM_OPERATIONS = 64
MIXING_OPERATIONS = 8  # a complex product and sum at a frequency

# Seconds, as `benchmarks/calibrate.py` measures them (float32, one thread with AVX-512); see `runtime/costs.py`.
START_SECONDS = 3e-5
CALL_SECONDS = 2e-6
ELEMENT_SECONDS = 1.5e-10
PRODUCT_SECONDS = 2.5e-11
NATIVE_CALL_SECONDS = 5e-5
NATIVE_STEP_SECONDS = 2e-8
NATIVE_VECTOR_SECONDS = 1e-10
NATIVE_BYTE_SECONDS = 4e-11
RATES = (
    START_SECONDS,
    CALL_SECONDS,
    ELEMENT_SECONDS,
    PRODUCT_SECONDS,
    NATIVE_CALL_SECONDS,
    NATIVE_STEP_SECONDS,
    NATIVE_VECTOR_SECONDS,
    NATIVE_BYTE_SECONDS,
)

# The sizes at which explanations say what is chosen, and at which choices are made while compiling.
EXAMPLE_STEPS, EXAMPLE_ROWS, EXAMPLE_SIZE = 4096, 8, 64
EXAMPLE_ROUNDS = 10  # of a fixed point


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


def cost_of(lets: tuple[Let, ...], results: tuple[Expr, ...], shared: frozenset[str] = frozenset()) -> Cost:
    """The cost of definitions and results once. A product that is summed at once counts as one operation; one with
    something in `shared`, that is the same for all rows, is kept apart."""
    total = NOTHING
    for expr in tuple(let.expr for let in lets) + results:
        summed = {id(node.x) for node in nodes(expr) if isinstance(node, Reduce) and node.op == "sum"}
        for node in nodes(expr):
            cost = _node_cost(node)
            if id(node) in summed and isinstance(node, Binary) and node.op == "mul" and _is_shared(node, shared):
                cost = replace(cost, elements=(), products=cost.elements)
            total = total + cost
    return total


def _is_shared(product: Binary, shared: frozenset[str]) -> bool:
    return any(names(factor) and names(factor) <= shared for factor in (product.x, product.y))


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
    if isinstance(node, Solve):
        axes = (*node.axes, node.row)
    if not children(node):
        return NOTHING
    monomial = tuple(sorted((axis.size for axis in axes), key=str))
    return Cost(1, ((monomial, 1),))
