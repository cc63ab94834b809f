"""A stretch of steps of a linear-fractional state is `s -> (a s + b) / (c s + d)`, elementwise.

One more step multiplies the 2x2 matrices. A matrix and its multiples mean the same map, so every product is divided by
the sum of its absolute values: it neither overflows nor vanishes, however long the stretch is."""

from __future__ import annotations

from recc.ir.build import ONE, ZERO, add, div, is_const, mul, unary
from recc.ir.nodes import Expr, Let, Recurrence, Ref, Var
from recc.ir.traverse import define, substitute
from recc.passes.analyse import Component, Proof
from recc.passes.summary import Part, Summary
from recc.passes.tidy import Namer

Matrix = tuple[Expr, Expr, Expr, Expr]
IDENTITY: Matrix = (ONE, ZERO, ZERO, ONE)


def fractional_summary(recurrence: Recurrence, component: Component, proof: Proof, namer: Namer) -> Summary:
    """The summary of a state that was proved to be linear-fractional: the entries of a matrix, over the axes that its
    coefficients have."""
    assert proof.fraction is not None
    (name,) = component.states
    state = next(item.var for item in recurrence.states if item.name == name)
    rows = tuple(axis for axis in state.axes if any(axis in part.axes for part in proof.fraction.parts))
    entries = tuple(Var(namer(f"{entry}_{name}"), tuple(axis.size for axis in rows), state.complex) for entry in "abcd")
    a, b, c, d = (Ref(entry.name, rows, entry.kind) for entry in entries)
    lets, scaled = _scaled(_times(proof.fraction.parts, (a, b, c, d)), entries, namer)
    own = dict(zip(rows, entries[0].axes, strict=True))
    longer = (substitute(entry, dict(own)) for entry in scaled)
    value = state.ref()
    return Summary(
        parts=tuple(Part(*part) for part in zip(entries, [name] * 4, IDENTITY, longer, strict=True)),
        lets=lets,
        after={name: div(add(mul(a, value), b), add(mul(c, value), d))},
    )


def _times(later: Matrix, earlier: Matrix) -> Matrix:
    a, b, c, d = later
    e, f, g, h = earlier
    return _dot(a, e, b, g), _dot(a, f, b, h), _dot(c, e, d, g), _dot(c, f, d, h)


def _dot(x: Expr, y: Expr, z: Expr, w: Expr) -> Expr:
    """`x * y + z * w` of finite values: a product with zero is left out."""
    terms = [mul(first, second) for first, second in ((x, y), (z, w)) if not is_const(first, 0)]
    return add(*terms) if len(terms) == 2 else terms[0] if terms else ZERO


def _scaled(product: Matrix, entries: tuple[Var, ...], namer: Namer) -> tuple[tuple[Let, ...], Matrix]:
    """Definitions of a product's entries and of their size, and the entries divided by it."""
    lets = [define(namer(f"{entry.name}_longer"), expr) for entry, expr in zip(entries, product, strict=True)]
    values = [Ref(let.name, expr.axes, let.kind) for let, expr in zip(lets, product, strict=True)]
    size = ZERO
    for value in values:
        size = add(size, unary("abs", value))
    named = define(namer("size"), size)
    scale = Ref(named.name, size.axes, named.kind)
    a, b, c, d = (div(value, scale) for value in values)
    return (*lets, named), (a, b, c, d)
