"""What a spec promises of its inputs and params, as conditions that can be computed."""

from __future__ import annotations

from recc.ir.build import binary
from recc.ir.nodes import Binary, Const, Expr, Recurrence, Unary, Var

TOLERANCE = 1e-3  # `assert norm(k) == 1` is a promise about rounded numbers


def promised(recurrence: Recurrence) -> tuple[tuple[str, Expr], ...]:
    """Each promise's text and its condition."""
    ranges = [item for var in recurrence.inputs + recurrence.params for item in _range(var)]
    asserts = [(promise.text, _tolerant(promise.test)) for promise in recurrence.promises]
    return tuple(ranges + asserts)


def _range(var: Var) -> list[tuple[str, Expr]]:
    interval, found = var.interval, []
    if interval is not None and interval.low is not None:
        op = "gt" if interval.low_open else "ge"
        found.append(
            (
                f"{var.name} {'>' if interval.low_open else '>='} {_number(interval.low)}",
                binary(op, var.ref(), interval.low),
            )
        )
    if interval is not None and interval.high is not None:
        op = "lt" if interval.high_open else "le"
        found.append(
            (
                f"{var.name} {'<' if interval.high_open else '<='} {_number(interval.high)}",
                binary(op, var.ref(), interval.high),
            )
        )
    return found


def _number(expr: Expr) -> str:
    assert isinstance(expr, Const)
    return repr(expr.value)


def _tolerant(test: Expr) -> Expr:
    """An equation between numbers holds if both sides agree to a tolerance."""
    if isinstance(test, Binary) and test.op == "eq":
        return Binary("le", Unary("abs", Binary("sub", test.x, test.y)), Const(TOLERANCE))
    return test
