"""What a kernel does in a step: operations on vectors, as a polynomial in the sizes, and bytes of timed tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from recc.ir.kernel import (
    LANES,
    ROWS,
    Accumulators,
    Assign,
    Choice,
    Define,
    Folded,
    Inside,
    Kernel,
    Loop,
    Meeting,
    Operation,
    Port,
    Product,
    Repeat,
    Scalar,
    Section,
    SolveSystem,
    Statement,
    Tile,
)
from recc.passes.cost import EXAMPLE_ROUNDS, Monomial, NativeCost, Vectors
from recc.passes.lower_kernel_statements import CHEAP, COSTS, TRANSCENDENTAL

WORD = 4  # bytes of a float32
SIDE = 64  # rows that are walked side by side, where these are what vectors are made of; fewer take as long
BINARY = 2  # operands of an operation that is no function
FOLDED, INSIDE = 6, 2  # operations of a sum over lanes, and of a test for the ends of an axis


def kernel_cost(kernel: Kernel, near: tuple[str, ...] = ()) -> NativeCost:
    """The cost of one step of one row, also of one in a block, or of as many rows as are walked side by side.

    An innermost loop counts in vectors, everything else one by one; what is computed before all steps, and inputs that
    are `near` already, are not counted."""
    counts: Counter[Monomial] = Counter()
    _count(kernel.step, (), counts)
    for outer in kernel.outers:
        *rest, columns = kernel.array(outer.total).sizes
        _add(counts, (*rest, Vectors(columns)), 1)
    for stretch in (kernel.ahead, kernel.behind):
        _count(() if stretch is None else stretch.step, (), counts)
    timed = [port for port in (*kernel.inputs, *kernel.outputs) if port.name not in near]
    lanes = any(LANES in port.sizes for port in kernel.states)
    return NativeCost(_polynomial(counts), _bytes(timed), side=SIDE if lanes else 1)


def _count(body: Iterable[Statement], around: Monomial, counts: Counter[Monomial]) -> None:
    for line in body:
        match line:
            case Define(_, value):
                _add(counts, around, _operations(value))
            case Assign(_, value, combine):
                _add(counts, around, _operations(value) + 1 + (combine != "set"))
            case Loop(_, size, inner) if size in (ROWS, LANES):
                _count(inner, around, counts)
            case Loop(_, size, inner, kind):
                _count(inner, (*around, size if kind == "plain" else Vectors(size)), counts)
            case Tile(_, _, inner) | Section(inner):
                _count(inner, around, counts)
            case SolveSystem(out, size=size):
                _add(counts, (*around, size, size, size), len(out) ** 2)
            case Repeat(_, inner):
                once: Counter[Monomial] = Counter()
                _count(inner, around, once)
                counts.update({monomial: EXAMPLE_ROUNDS * count for monomial, count in once.items()})
            case Product(inner=inner, columns=columns):
                _add(counts, (*around, inner, Vectors(columns)), 1)
            case Accumulators() | Meeting():
                pass
            case _:
                raise AssertionError(f"what does {type(line).__name__} cost?")


def _add(counts: Counter[Monomial], around: Monomial, count: int) -> None:
    if count:
        counts[tuple(sorted(around, key=str))] += count


def _operations(value: Scalar) -> int:
    """Operations of an expression, in additions."""
    match value:
        case Operation(op, args):
            own = 1 if op in CHEAP else COSTS.get(op, 1 if len(args) == BINARY else TRANSCENDENTAL)
            return own + sum(map(_operations, args))
        case Choice(test, x, y):
            return 1 + _operations(test) + _operations(x) + _operations(y)
        case Folded():
            return FOLDED
        case Inside():
            return INSIDE
        case _:
            return 0


def _bytes(ports: Iterable[Port]) -> tuple[tuple[Monomial, int], ...]:
    counts: Counter[Monomial] = Counter()
    for port in ports:
        own = (size for size in port.sizes if size != LANES)
        counts[tuple(sorted(own, key=str))] += WORD * (1 + port.complex)
    return _polynomial(counts)


def _polynomial(counts: Counter[Monomial]) -> tuple[tuple[Monomial, int], ...]:
    return tuple(counts.items())
