"""Conditions are simplified to what has the same truth value everywhere."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recc.ir.evaluation import evaluate
from recc.ir.logic import FALSE, TRUE, anywhere, conjunction, disjunction, negation, opened, simplified
from recc.ir.nodes import Arange, Axis, Binary, Const, Expr, Let, Reduce, Ref, Unary
from recc.ir.traverse import nodes

A, B, C = (Ref(name, (), "real") for name in "abc")
N = Axis(4)


def true_at(x: Expr, values: tuple[bool, ...]) -> bool:
    env = {name: np.array([value]) for name, value in zip("abc", values, strict=True)}
    return bool(np.all(evaluate(x, env, {})))


def formulas() -> st.SearchStrategy[Expr]:
    atoms = st.sampled_from([A, B, C, Unary("not", A), Unary("not", B), TRUE, FALSE])
    return st.recursive(
        atoms,
        lambda inner: st.builds(Binary, st.sampled_from(["and", "or"]), inner, inner) | st.builds(negation, inner),
        max_leaves=8,
    )


@settings(max_examples=300, deadline=None)
@given(formulas(), formulas())
def test_what_is_simplified_has_the_same_truth_value(x: Expr, y: Expr) -> None:
    both, either = conjunction(x, y), disjunction(x, y)
    for values in itertools.product([False, True], repeat=3):
        assert true_at(both, values) == (true_at(x, values) and true_at(y, values))
        assert (either is None or true_at(either, values)) == (true_at(x, values) or true_at(y, values))
        for formula in (x, y):
            if isinstance(formula, Binary):
                assert true_at(simplified(formula), values) == true_at(formula, values)


@pytest.mark.parametrize(
    ("op", "x", "y", "expected"),
    [
        ("or", A, A, A),
        ("or", A, negation(A), TRUE),
        ("and", A, negation(A), FALSE),
        ("and", A, Binary("or", B, A), A),
        ("and", A, Binary("or", negation(A), B), Binary("and", A, B)),
        ("or", A, Binary("and", negation(A), B), Binary("or", A, B)),
        ("or", Binary("and", A, B), Binary("and", negation(B), A), A),
        ("and", Binary("or", A, B), Binary("or", A, negation(B)), A),
        ("or", Binary("and", A, Binary("and", B, C)), Binary("and", C, A), Binary("and", C, A)),
    ],
)
def test_laws(op: str, x: Expr, y: Expr, expected: Expr) -> None:
    assert (conjunction(x, y) if op == "and" else disjunction(x, y)) == (None if expected == TRUE else expected)


def test_a_fixed_place_is_somewhere_on_its_axis() -> None:
    place, p = Binary("eq", Arange(N), Const(2)), Ref("p", (N,))
    assert anywhere(place, (N,), {}) == TRUE
    named = {"test": Let("test", (N,), place)}
    assert opened(Ref("test", (Axis(4, "i"),)), named) == Binary("eq", Arange(Axis(4, "i")), Const(2))
    assert opened(Ref("other", (N,)), named) == Ref("other", (N,))
    assert anywhere(Binary("and", place, A), (N,), {}) == A
    assert anywhere(Binary("or", place, p), (N,), {}) == TRUE
    assert anywhere(Binary("or", p, A), (N,), {}) == Binary("or", Reduce("any", p, (N,)), A)
    for open_question in (Binary("and", place, p), Binary("eq", Arange(N), Const(4)), Binary("eq", Arange(N), A)):
        assert any(isinstance(node, Reduce) for node in nodes(anywhere(open_question, (N,), {})))
    second = Binary("eq", Arange(Axis("N")), Const(1))
    assert anywhere(second, (Axis("N"),), {}) != TRUE
    assert anywhere(second, (Axis("N"),), {"N": 2}) == TRUE
