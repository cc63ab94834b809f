"""The generator of random programs: what it promises to the tests that use it."""

from __future__ import annotations

import numpy as np
import pytest

from recc.ir.interpreter import run
from recc.ir.nodes import Const, Expr, Interval, Recurrence, Var
from recc.ir.traverse import nodes
from tests.ir.random_programs import random_recurrence, random_values


def operations(recurrence: Recurrence) -> set[str]:
    exprs: list[Expr] = [let.expr for let in recurrence.lets] + [item.expr for item in recurrence.outputs]
    return {str(getattr(node, "op", type(node).__name__)) for expr in exprs for node in nodes(expr)}


@pytest.mark.parametrize("seed", range(60))
def test_values_stay_finite(seed: int) -> None:
    rng = np.random.default_rng(seed)
    recurrence = random_recurrence(rng, complex=seed % 3 == 0, affine_bias=seed % 5 / 4)
    inputs, params, state = random_values(recurrence, rng, 12, (2,))
    outputs, final, _ = run(recurrence, inputs, params, state)
    for value in (*outputs.values(), *final.values()):
        assert np.all(np.abs(value) < 1e4)


def test_a_seed_is_a_program() -> None:
    for seed in range(5):
        first = random_recurrence(np.random.default_rng(seed))
        assert first == random_recurrence(np.random.default_rng(seed))


def test_programs_are_diverse() -> None:
    seen = [random_recurrence(np.random.default_rng(seed), complex=seed % 2 == 0) for seed in range(250)]
    used = set().union(*(operations(recurrence) for recurrence in seen))
    assert used >= {"exp", "Where", "Roll", "Window", "Fold", "Solve", "Arange", "SizeOf", "logsumexp", "max", "conj"}
    assert {len(recurrence.states) for recurrence in seen} >= {1, 2, 3}
    assert any(state.var.complex for recurrence in seen for state in recurrence.states)
    assert any(var.sizes == ("D", "D") for recurrence in seen for var in recurrence.params)
    assert any("t" in recurrence.state_names for recurrence in seen)
    assert any(name.startswith("prev_") for recurrence in seen for name in recurrence.state_names)


def test_values_keep_their_promises() -> None:
    intervals = [
        Interval(Const(0), Const(1), True, True),
        Interval(None, Const(0)),
        Interval(Const(2), None, True),
        Interval(Const(-np.inf), Const(3)),
    ]
    variables = tuple(Var(f"x{i}", ("K",), interval=interval) for i, interval in enumerate(intervals))
    inputs, _, _ = random_values(Recurrence("r", variables), np.random.default_rng(0), 500)
    assert 0 < inputs["x0"].min() < 0.2 and 0.8 < inputs["x0"].max() < 1
    assert inputs["x1"].max() < 0
    assert inputs["x2"].min() > 2
    assert inputs["x3"].max() < 3


def test_shapes_and_kinds_of_values() -> None:
    recurrence = Recurrence("r", (Var("x", (2, "M"), complex=True),), (Var("w", ("K",)),))
    inputs, params, state = random_values(recurrence, np.random.default_rng(0), 4, (3, 1), {"M": 5})
    assert inputs["x"].shape == (3, 1, 4, 2, 5) and inputs["x"].dtype == np.complex128
    assert params["w"].shape == (3,) and state == {}
