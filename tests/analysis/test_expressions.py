"""Random expressions in one state: whatever is accepted, in whichever algebra, superposes; most are refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from recc.ir.nodes import Axis, Binary, Const, Expr, Interval, Recurrence, Reduce, State, Unary, Var, Where
from recc.passes.analyse import Proof, analyse
from tests.analysis.measure import Step
from tests.analysis.superpose import superposes

K = Axis("K")
H = Var("h", ("K",))
INPUTS = (Var("a", ("K",)), Var("b"), Var("p", ("K",), interval=Interval(Const(0.5), Const(2))))
BINARY = ("add", "add", "add", "sub", "mul", "mul", "div", "max", "max", "min", "logaddexp", "pow")
UNARY = ("neg", "exp", "tanh", "abs", "relu", "sign", "sqrt", "sigmoid", "softplus", "real", "conj", "imag", "floor")


def expression(rng: np.random.Generator, depth: int, leaning: str) -> Expr:
    """Any expression over the state and inputs; `leaning` is an operation that is taken more often."""
    kind = rng.random()
    if depth == 0 or kind < 0.12:
        leaves = [H.ref(), H.ref(), *(var.ref() for var in INPUTS), Const(2), Const(1), Const(0), Const(-1)]
        return leaves[rng.integers(len(leaves))]
    part = expression(rng, depth - 1, leaning)
    if kind < 0.2:
        return Unary(UNARY[rng.integers(len(UNARY))], part)
    if kind < 0.26:
        over = Reduce(("sum", "max", "min", "logsumexp")[rng.integers(4)], part, (K,))
        return over if K in part.axes else part
    other = expression(rng, depth - 1, leaning)
    if kind < 0.34:
        return Where(Binary("gt", expression(rng, depth - 1, leaning), Const(0)), part, other)
    op = leaning if kind < 0.6 else BINARY[rng.integers(len(BINARY))]
    return Binary(op, part, other)


@pytest.mark.parametrize("leaning", ["add", "sub", "mul", "div", "max", "min", "logaddexp"])
def test_accepted_expressions_superpose(leaning: str) -> None:
    verdicts: Counter[str] = Counter()
    for number in range(500):
        rng = np.random.default_rng((number, sum(map(ord, leaning))))
        update = expression(rng, 3, leaning)
        recurrence = Recurrence("random", inputs=INPUTS, states=(State(H, Const(0)),), updates=(update,))
        (component,) = analyse(recurrence).components
        verdict = component.verdict
        verdicts[verdict.algebra if isinstance(verdict, Proof) else "refused"] += 1
        if isinstance(verdict, Proof):
            step = Step(recurrence, rng)
            assert superposes(step, component, verdict, rng), (update, verdict)
    assert verdicts["refused"] > 50 and sum(verdicts.values()) - verdicts["refused"] > 50
