"""Texts of recurrences: goldens, and the way there and back through the front end."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from recc.compiler import front
from recc.frontend.parse import parse_text
from recc.frontend.resolve import resolve
from recc.ir.check import check
from recc.ir.interpreter import run
from recc.ir.nodes import (
    Arange,
    Axis,
    Binary,
    Const,
    Expr,
    Fold,
    Let,
    Output,
    Recurrence,
    Reduce,
    Ref,
    Roll,
    SizeOf,
    Solve,
    State,
    Unary,
    Var,
    Where,
    Window,
)
from recc.ir.printer import show, show_expr
from recc.ir.traverse import nodes
from tests.ir.random_programs import random_recurrence, random_values
from tests.references.ports import SIZES

SPECS = Path(__file__).resolve().parent.parent.parent / "specs"
K, V, D, E = Axis("K"), Axis("V"), Axis("D"), Axis("D", 1)
BOUND, ROW, TAP = Axis("K", "b"), Axis("D", "r"), Axis("R", "t")
a, b, c = Ref("a"), Ref("b"), Ref("c")
x, w, S, U = Ref("x", (K,)), Ref("w", (TAP,)), Ref("S", (K, V)), Ref("U", (D, E))


def add(left: Expr, right: Expr) -> Expr:
    return Binary("add", left, right)


def sub(left: Expr, right: Expr) -> Expr:
    return Binary("sub", left, right)


def mul(left: Expr, right: Expr) -> Expr:
    return Binary("mul", left, right)


def power(left: Expr, right: Expr) -> Expr:
    return Binary("pow", left, right)


def read(text: str) -> Recurrence:
    file = parse_text(text, "shown.rec")
    return resolve(file.recurrences[0], file)


def body(expr: Expr, axes: tuple[Axis, ...]) -> str:
    """How a definition of a local by an expression is written."""
    recurrence = Recurrence(
        "r",
        inputs=(Var("x", ("K",)), Var("U", ("D", "D")), Var("S", ("K", "V")), Var("w", ("R",))),
        states=(State(Var("h"), Const(0)),),
        lets=(Let("y", axes, expr),),
        updates=(Ref("h"),),
    )
    lines = [line for line in show(recurrence).splitlines() if not re.match(r"recurrence|    (input|state|h) ", line)]
    return "\n".join(line.removeprefix("    ") for line in lines)


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (sub(a, sub(b, c)), "a - (b - c)"),
        (sub(sub(a, b), c), "a - b - c"),
        (mul(add(a, b), c), "(a + b) * c"),
        (add(mul(a, b), c), "a * b + c"),
        (mul(a, Binary("div", b, c)), "a * (b / c)"),
        (Unary("neg", add(a, b)), "-(a + b)"),
        (mul(Unary("neg", a), b), "-a * b"),
        (Unary("neg", mul(a, b)), "-(a * b)"),
        (power(Unary("neg", a), b), "(-a) ** b"),
        (Unary("neg", power(a, b)), "-a ** b"),
        (power(a, Unary("neg", b)), "a ** -b"),
        (power(power(a, b), c), "(a ** b) ** c"),
        (power(a, power(b, c)), "a ** b ** c"),
        (Binary("mod", a, Binary("floordiv", b, c)), "a % (b // c)"),
        (Binary("max", a, add(b, c)), "max(a, b + c)"),
        (Binary("logaddexp", a, b), "logaddexp(a, b)"),
        (Unary("not", Binary("lt", a, b)), "not a < b"),
        (
            Binary("and", Binary("or", Binary("lt", a, b), Binary("ge", a, c)), Binary("ne", b, c)),
            "(a < b or a >= c) and b != c",
        ),
        (Where(Binary("eq", a, b), a, Unary("exp", b)), "where(a == b, a, exp(b))"),
        (Const(-0.5), "-0.5"),
        (mul(Const(-0.5), a), "-0.5 * a"),
        (Const(-math.inf), "-inf"),
        (Const(1e-06), "1e-06"),
        (Const(2j), "2.0j"),
        (mul(Const(1 - 2j), a), "(1.0 + -2.0 * 1j) * a"),
        (Const(True), "0 == 0"),
        (power(SizeOf("K"), Const(-0.5)), "K ** -0.5"),
        (Ref("k", (0, K)), "k[0]"),
        (Reduce("sum", mul(Ref("k", (BOUND,)), Ref("S", (BOUND, V))), (BOUND,)), "sum(k * S, axis=K)"),
        (Reduce("logsumexp", Ref("a", (BOUND,)), (BOUND,)), "logsumexp(a)"),
        (Roll(x, K, -1), "roll(x, -1, axis=K)"),
        (Window(x, K, TAP), "window(x, axis=K)"),
        (Fold(x, K, TAP, wrap=True), "fold(x, axis=K, wrap=True)"),
        (Solve(U, x, D, E), "solve(U, x)"),
        (Arange(K), "arange(K)"),
    ],
)
def test_show_expr(expr: Expr, text: str) -> None:
    assert show_expr(expr) == text


@pytest.mark.parametrize(
    ("expr", "axes", "text"),
    [
        (Unary("exp", x), (K,), "y = exp(x)"),
        (mul(x, S), (K, V), "y = x * S"),
        (mul(x, S), (V, K), "y[v, k] = x[k] * S[k, v]"),
        (mul(x, Ref("S", (BOUND, V))), (K, V), "y[k, v] = x[k] * S[i, v]"),
        (sub(U, Ref("U", (E, D))), (D, E), "y = U - U.T"),
        (sub(Ref("U", (E, D)), U), (D, E), "y = U.T - U"),
        (mul(U, Ref("h")), (D, E), "y = U * h"),
        (Ref("U", (D, D)), (D,), "y[d] = U[d, d]"),
        (Ref("U", (2, D)), (D,), "y = U[2]"),
        (Ref("U", (D, 2)), (D,), "y[d] = U[d, 2]"),
        (Reduce("sum", S, (K, V)), (), "y = sum(S)"),
        (Reduce("sum", mul(Ref("U", (E, D)), U), (D, E)), (), "y = sum(U.T * U)"),
        (Solve(Ref("U", (D, ROW)), Ref("U", (0, ROW)), ROW, D), (D,), "y = solve(U.T, U[0])"),
        (Reduce("max", Ref("S", (BOUND, V)), (BOUND,)), (V,), "y = max(S, axis=K)"),
        (Reduce("sum", Ref("U", (Axis("D", "b"), D)), (Axis("D", "b"),)), (D,), "y[d] = sum(U[i, d], axis=i)"),
        (Reduce("any", Binary("lt", x, Const(0)), (K,)), (), "y = sum(where(x < 0, 1, 0)) > 0"),
        (Where(Binary("eq", Arange(D), Arange(E)), Const(1), Const(0)), (D, E), "y = eye(D)"),
        (mul(x, Arange(K)), (K,), "y = x * arange(K)"),
        (
            Reduce("sum", mul(x, Arange(Axis("V", "i"))), (Axis("V", "i"),)),
            (K,),
            "y[k] = sum(x[k] * arange(V)[v], axis=v)",
        ),
        (Const(1), (K,), "y = 1 + 0 * arange(K)"),
        (Binary("lt", Ref("h"), Const(1)), (K,), "y = h < 1 and arange(K) >= 0"),
        (
            Reduce("sum", mul(w, Window(x, K, TAP)), (TAP,)),
            (K,),
            "y[k] = sum(w[r] * sum(where(i == arange(K)[k] + r - R // 2, x[i], 0), axis=i), axis=r)",
        ),
        (
            Fold(mul(w, x), K, TAP, wrap=True),
            (K,),
            "y[k] = sum(where(i == (arange(K)[k] - r + R // 2) % K, w[r] * x[i], 0), axis=(i, r))",
        ),
        (mul(Ref("h"), Solve(Ref("U", (ROW, D)), Ref("U", (0, ROW)), ROW, D)), (D,), "y = h * solve(U, U[0])"),
        (
            mul(Ref("h"), Solve(Ref("U", (ROW, D)), Ref("U", (ROW, 0)), ROW, D)),
            (D,),
            "side[d] = U[d, 0]\nsolution = solve(U, side)\ny = h * solution",
        ),
    ],
)
def test_a_definition(expr: Expr, axes: tuple[Axis, ...], text: str) -> None:
    assert body(expr, axes) == text


GATED_DELTANET = """\
recurrence gated_deltanet:
    \"""Gated delta rule.\"""
    input  q[K], k[K], v[V], g <= 0, beta in (0, 1)
    state  S[K, V]
    assert norm(k) == 1
    S = exp(g) * S
    S[i, j] = S[i, j] + beta * (k[i] * (v[j] - sum(k[l] * S[l, j], axis=l)))
    output o[V] = sum(q * S, axis=K)"""

CASCADE = """\
recurrence cascade(n=2):
    input  x[n, D], z[D]: complex, a[D] in [0, 1), b > -1, c >= 0, d < 2
    param  U[D, D], h0[D]
    state  h[D] = h0, m = -inf, w[D]: complex, P[D, D] = 0.5 * eye(D)
    output s, P, y[D]
    m = max(m + d, b)
    h[i] = tanh(sum(U[j, i] * h[j], axis=j) + x[0, i] + exp(-m))
    s = t % 4
    P = P.T + U
    y = h * arange(D) / D
    w = conj(w) * 0.5j + z
    h = where(s == 0, 0, h)"""


@pytest.mark.parametrize("text", [GATED_DELTANET, CASCADE])
def test_texts_in_the_printers_own_style_come_back(text: str) -> None:
    assert show(read(text)) == text


def test_delta_rule_of_a_paper() -> None:
    text = """
recurrence gated_deltanet:
    \"""Gated delta rule.\"""
    input  q[K], k[K], v[V], g <= 0, beta in (0, 1)
    state  S[K, V]
    assert norm(k) == 1
    S = exp(g) * S
    S = S + beta * outer(k, v - k @ S)
    output o[V] = q @ S
"""
    assert show(read(text)) == GATED_DELTANET


def simple(**parts) -> Recurrence:
    base = {"inputs": (Var("x"),), "states": (State(Var("h"), Const(0)), State(Var("m"), Const(0)))}
    return Recurrence(
        "r", **{**base, "updates": (Ref("h"), Ref("m")), "outputs": (Output(Var("y"), Ref("h")),), **parts}
    )


def test_states_that_are_exchanged() -> None:
    shown = show(simple(updates=(add(Ref("m"), Ref("x")), Ref("h"))))
    assert shown.splitlines()[3:] == ["    output y = h", "    h_new = m + x", "    m = h", "    h = h_new"]


def test_a_definition_keeps_its_name_where_the_state_is_still_read() -> None:
    lets = (Let("h_1", (), add(Ref("h"), Ref("x"))),)
    kept = show(simple(lets=lets, updates=(Ref("h_1"), Ref("h"))))
    assert kept.splitlines()[3:] == ["    h_1 = h + x", "    output y = h", "    m = h", "    h = h_1"]
    taken = show(simple(lets=lets, updates=(Ref("h_1"), Ref("m")), outputs=(Output(Var("y"), Ref("h_1")),)))
    assert taken.splitlines()[3:] == ["    h = h + x", "    output y = h", "    m = m"]


def test_an_output_that_is_a_state_stands_at_the_end() -> None:
    shown = show(simple(updates=(Ref("x"), Ref("m")), outputs=(Output(Var("h"), Ref("x")),)))
    assert shown.splitlines()[3:] == ["    h = x", "    m = m", "    output h"]


def test_totals_are_comments() -> None:
    shown = show(simple(totals=(Output(Var("d_w", ("K",)), mul(Ref("x"), Ref("h"))),)))
    assert shown.splitlines()[-1] == "    # total d_w[K] = x * h"


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(ValueError, match="output `h` is not what the state"):
        show(simple(outputs=(Output(Var("h"), Ref("x")),)))
    params = (Var("U", ("D", "D")),)
    states = (State(Var("h", ("D",)), Ref("U", (D, D))), State(Var("m"), Const(0)))
    with pytest.raises(ValueError, match="start of `h` needs index names"):
        show(simple(params=params, states=states, updates=(Const(0), Ref("m")), outputs=()))
    cube = (*params, Var("T", ("D", "D", "D")))
    system = Solve(Ref("T", (E, ROW, D)), Ref("U", (ROW, E)), ROW, D)
    with pytest.raises(ValueError, match="one more axis of the size `D`"):
        show(simple(params=cube, lets=(Let("y", (D, E), system),), outputs=()))


@pytest.mark.parametrize("path", sorted(SPECS.rglob("*.rec")), ids=lambda path: path.stem)
def test_every_spec_comes_back(path: Path) -> None:
    """The text reads back to what means the same, and has the same text but for what only the front end can say."""
    recurrence = front(path).recurrences[0]
    assert check(recurrence) == []
    again = read(show(recurrence))
    source = path.read_text(encoding="utf-8")
    if not any(word in source for word in ("prev(", "hold(", "solve(", "assert ")):
        assert show(again) == show(recurrence)
    rng = np.random.default_rng(0)
    inputs, params, state = random_values(recurrence, rng, 4, (2,), {**SIZES})
    wanted, final, _ = run(recurrence, inputs, params, state)
    found, other_final, _ = run(again, inputs, params, state)
    for name, value in {**wanted, **final}.items():
        assert_allclose({**found, **other_final}[name], value, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("seed", range(60))
def test_a_random_program_means_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    recurrence = random_recurrence(rng, complex=seed % 3 == 0)
    if square_system(recurrence):
        with pytest.raises(ValueError, match="one more axis"):
            show(recurrence)
        return
    again = read(show(recurrence))
    assert check(again) == []
    inputs, params, state = random_values(recurrence, rng, 4, (2,))
    for given in (state, None):
        outputs, final, _ = run(recurrence, inputs, params, given)
        other_outputs, other_final, _ = run(again, inputs, params, given)
        for name, value in {**outputs, **final}.items():
            assert_allclose({**other_outputs, **other_final}[name], value, rtol=1e-9, atol=1e-9, err_msg=name)


def square_system(recurrence: Recurrence) -> bool:
    """Whether a system is solved along one of two axes of the same size, which `solve` cannot be told."""
    exprs = [let.expr for let in recurrence.lets]
    systems = [node for expr in exprs for node in nodes(expr) if isinstance(node, Solve)]
    axes = ((system, axis) for system in systems for axis in system.matrix.axes)
    return any(axis.size == system.col.size and axis not in (system.row, system.col) for system, axis in axes)
