"""Guards change no value and no derivative, and are only there where they are needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recc.compiler import front
from recc.ir.interpreter import run
from recc.ir.nodes import Recurrence, Unary, Where
from recc.ir.traverse import nodes
from recc.passes.adjoint import adjoint
from recc.passes.guard import guard
from tests.ir.random_programs import random_recurrence, random_values
from tests.passes.rules import NOT_TAKEN, spec_of

SPECS = Path(__file__).parent.parent.parent / "specs"


def recurrence_of(body: str) -> Recurrence:
    return front(f"recurrence r:\n    input x[D], y\n    state s\n    {body}\n").recurrences[0]


def guarded_logs(recurrence: Recurrence) -> list[bool]:
    """For every logarithm whether its operand is a choice."""
    lets = {let.name: let.expr for let in recurrence.lets}
    exprs = [*lets.values(), *recurrence.updates, *(item.expr for item in recurrence.outputs)]
    logs = [node for expr in exprs for node in nodes(expr) if isinstance(node, Unary) and node.op == "log"]
    return [isinstance(lets.get(getattr(log.x, "name", ""), log.x), Where) for log in logs]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("s = s + y\n    output z = where(x > 0, log(x), 0)", [True]),
        ("s = s + y\n    r = log(x)\n    output z = where(x > 0, r, 0)", [True]),
        ("s = s + y\n    r = log(x)\n    output z = where(x > 0, r, 0), w = r", [False]),
        ("s = s + y\n    r = log(x)\n    output z = where(r > 0, r, 0)", [False]),
        ("s = s + where(y > 0, log(y), 0)\n    output z = log(abs(x) + s * s)", [True, False]),
        ("s = where(y > 0, sum(log(x)), s)\n    output z = s * x", [True]),
    ],
)
def test_where_guards_are(body: str, expected: list[bool]) -> None:
    assert guarded_logs(guard(recurrence_of(body))) == expected


def test_a_recurrence_that_needs_none_is_returned_as_it_is() -> None:
    for name in ("gated_deltanet", "mlstm", "gru"):
        recurrence = front(SPECS / f"{name}.rec").recurrences[0]
        assert guard(recurrence) is recurrence


@pytest.mark.parametrize("rule", NOT_TAKEN)
def test_values_of_rules(rule: str) -> None:
    recurrence = front(spec_of(rule)).recurrences[0]
    inputs = {"x": np.array([[-1.0, 0.0, 2.0], [3.0, 1.0, 0.0]]), "y": np.array([0.5, 2.0])}
    wanted, got = run(recurrence, inputs), run(guard(recurrence), inputs)
    for name, value in wanted[0].items():
        np.testing.assert_array_equal(got[0][name], value)


@pytest.mark.parametrize("derived", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_values_of_random_programs(seed: int, derived: bool) -> None:
    rng = np.random.default_rng(seed)
    recurrence = random_recurrence(rng, affine_bias=seed % 4 / 4, complex=seed % 3 == 0)
    recurrence = adjoint(recurrence) if derived else recurrence
    inputs, params, state = random_values(recurrence, rng, 3, (2,))
    wanted = run(recurrence, inputs, params, state)
    got = run(guard(recurrence), inputs, params, state)
    for group, again in zip(wanted, got, strict=True):
        for name, value in group.items():
            np.testing.assert_allclose(again[name], value, rtol=1e-11, atol=1e-13)
