"""Fixed points: their meaning, and their derivatives against closed forms, differences and each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from recc.compiler import front
from recc.frontend.parse import parse_text
from recc.frontend.resolve import resolve
from recc.ir.check import check
from recc.ir.evaluation import Array, evaluate
from recc.ir.interpreter import run
from recc.ir.nodes import Axis, Const, Fixpoint, Recurrence, Ref
from recc.ir.printer import show
from recc.ir.traverse import substitute
from recc.passes.adjoint import adjoint
from recc.passes.implicit import split_fixpoints
from recc.passes.tangent import tangent
from tests.ir.random_programs import random_values
from tests.passes.slopes import Point, assert_agree, gradient, slopes, without_totals

ROWS, STEPS = 3, 4

# Contractions whatever their inputs are, of every kind that a step can have.
CONTRACTIONS = {
    "affine": """
    input  x[D], c[D]
    state  h[D]
    for y in fixpoint(h, tol=1e-13, max=400):
        y = 0.4 * tanh(c) * y + 0.3 * h + x
    h = y
    output h
""",
    "mixing": """
    input  x[D]
    param  W[D, D], b[D]
    state  h[D]
    for y in fixpoint(h, tol=1e-13, max=400):
        z = W.T
        y = 0.5 * tanh(b + (y @ z) / (1 + norm(z))) + x * sigmoid(h)
    h = y
    output h
""",
    "two axes": """
    input  x[K, V], a[V, K]
    state  h[K, V]
    output y[V, K], z
    for y in fixpoint(h.T, tol=1e-13, max=400):
        w = 0.3 * tanh(y)
        y[v, k] = w[v, k] + x[k, v] + 0.1 * mean(w[j, k] * tanh(a[j, k]) * sigmoid(x[k, v]), axis=j)
    z = sum(y)
    h[k, v] = y[v, k] + 0.1 * h[k, v]
""",
    "scalar": """
    input  x, a
    state  h
    for y in fixpoint(0.0, tol=1e-13, max=400):
        y = 0.5 * sin(y + a) + h
    h = tanh(x + y)
    output h, y
""",
    "complex": """
    input  x[N]: complex, a[N]
    state  h[N]: complex
    for y in fixpoint(h, tol=1e-13, max=400):
        y = 0.4 * exp(1j * a) * conj(y) + 0.1 * real(y) / (1 + abs(y)) + x + 0.2 * h
    h = y
    output o[N] = real(y) + abs(h)
""",
    "chosen": """
    input  x[D], a
    state  h[D]
    if a > 0:
        for y in fixpoint(h, tol=1e-13, max=400):
            y = x - 0.5 * tanh(y) * exp(-9 * a)
        h = y
    else:
        h = 0.5 * h
    output h
""",
    "one after the other": """
    input  x[D]
    state  h[D]
    for y in fixpoint(h, tol=1e-13, max=400):
        y = 0.4 * sin(y) + x
    for z in fixpoint(y, tol=1e-13, max=400):
        if sum(x) > 0:
            z = 0.5 * tanh(z + y)
        else:
            z = 0.3 * z + h
    h = z
    output h, y
""",
    "inner minimum": """
    input  k[K], v[V]
    state  W[K, V]
    for y in fixpoint(W, tol=1e-13, max=400):
        y = y - 0.3 * grad(0.5 * sumsq(tanh(k) @ y / K - v) + sumsq(y - W), y)
    W = y
    output o[V] = k @ W
""",
    "objective of a solution": """
    input  k[K], v[K]
    state  m[K]
    for y in fixpoint(m, tol=1e-13, max=400):
        y = 0.5 * tanh(y * k) + m
    m = m - 0.1 * grad(sumsq(y - v), m)
    output m
""",
    "sizes and positions": """
    input  x[D], v[V]
    state  h[D]
    for y in fixpoint(h, tol=1e-13, max=400):
        s = sum(where(arange(V) < 1, v, 0)) / V + sum(0.1 * arange(D) / D * y)
        y[d] = 0.3 * sin(y[d] + s) + x[d] / D + d * 0.01
    h = y
    output h
""",
    "in a function": """
    def settled(x, h):
        for y in fixpoint(h, tol=1e-13, max=400):
            y = 0.5 * tanh(y + x)
        return y
    input  x[D], u[2, D]
    state  h[D]
    for j in 2:
        h = settled(u[j], h) + x
    output h
""",
}


def contraction(name: str) -> Recurrence:
    return front(f"recurrence r:{CONTRACTIONS[name]}").recurrences[0]


def point(recurrence: Recurrence, seed: int, steps: int = STEPS) -> tuple[Point, np.random.Generator]:
    rng = np.random.default_rng(seed)
    return Point(*random_values(recurrence, rng, steps, (ROWS,), {"N": 3})), rng


# --- what they mean ---


def test_the_iteration_is_that_of_the_spec() -> None:
    """Rounds end after the first change within the tolerance, or after the last one that is allowed."""
    body = "    input  x\n    state  h\n    for y in fixpoint(h, tol={tol}, max={most}):\n        y = 0.5 * y + x\n"
    for tol, most, rounds in ((1e-1, 50, 3), (1e-3, 50, 10), (1e-3, 7, 7)):
        recurrence = front(f"recurrence r:\n{body.format(tol=tol, most=most)}    h = y\n    output h\n").recurrences[0]
        outputs, _, _ = run(recurrence, {"x": np.ones(1)})
        assert outputs["h"][0] == 2 - 2.0 ** (1 - rounds)


def test_relative_ends_do_not_depend_on_the_scale() -> None:
    body = (
        "    input  x[D]\n    state  h[D]\n    for y in fixpoint(h, tol=1e-6, relative=True):\n        y = 0.5 * y + x"
    )
    recurrence = front(f"recurrence r:\n{body}\n    h = y\n    output h\n").recurrences[0]
    x = np.array([[1.0, 1e-9]])
    outputs, _, _ = run(recurrence, {"x": x})
    small, _, _ = run(recurrence, {"x": x * 2.0**-40})
    assert_array_equal(small["h"], outputs["h"] * 2.0**-40)
    assert_allclose(outputs["h"], 2 * x, rtol=2e-6)


def test_each_row_ends_by_itself() -> None:
    recurrence = contraction("affine")
    given, _ = point(recurrence, 1)
    given.inputs["c"][1] = 5.0  # slow
    given.inputs["x"][2] = np.nan  # never ends
    outputs, final, _ = run(recurrence, *given)
    for row in range(ROWS):
        alone = Point(*({name: value[row : row + 1] for name, value in group.items()} for group in given))
        one, last, _ = run(recurrence, *alone)
        assert_array_equal(one["h"], outputs["h"][row : row + 1])
        assert_array_equal(last["h"], final["h"][row : row + 1])
    assert np.isfinite(outputs["h"][:2]).all() and np.isnan(outputs["h"][2]).all()


# --- derivatives ---


def dense(given: Point, t: int, h: Array) -> tuple[Array, Array, Array]:
    """The solution of "mixing" by Newton's method in one row, with dF/dy and dF/dh there."""
    W, b, x = given.params["W"], given.params["b"], given.inputs["x"][t]
    scale = 1 + np.linalg.norm(W)
    gate = 1 / (1 + np.exp(-h))
    y = np.zeros_like(b)
    for _ in range(50):
        tanh = np.tanh(b + W @ y / scale)
        jacobian = 0.5 * (1 - tanh**2)[:, None] * W / scale
        y = y - np.linalg.solve(np.eye(len(b)) - jacobian, y - 0.5 * tanh - x * gate)
    return y, jacobian, np.diag(x * gate * (1 - gate))


def test_a_gradient_is_that_of_the_implicit_function() -> None:
    """dL/dh before two steps, by dense solves: `(I - dF/dy)^-T`, then `(dF/dh)^T`."""
    recurrence = contraction("mixing")
    given, rng = point(recurrence, 2, steps=2)
    row = Point({"x": given.inputs["x"][0]}, given.params, {"h": given.state["h"][0]})
    params = {name: value[0] if value.ndim > {"W": 2, "b": 1}[name] else value for name, value in row.params.items()}
    row = row._replace(params=params)
    first, *slopes_first = dense(row, 0, row.state["h"])
    second, *slopes_second = dense(row, 1, first)
    outputs, _, _ = run(recurrence, row.inputs, row.params, row.state)
    assert_allclose(outputs["h"], np.stack([first, second]), rtol=1e-10, atol=1e-12)
    cotangent = rng.standard_normal(first.shape)
    found = cotangent
    for jacobian, through in (slopes_second, slopes_first):
        found = through.T @ np.linalg.solve((np.eye(len(found)) - jacobian).T, found)
    batched = Point(*({n: v[None] for n, v in group.items()} for group in row))
    pulled = gradient(recurrence, batched, {"h": np.zeros((1, *outputs["h"].shape))}, {"h": cotangent[None]})
    assert_allclose(pulled.state["h"][0], found, rtol=1e-9, atol=1e-12)


def test_a_small_cotangent_is_solved_for_as_well() -> None:
    """Means over many places give cotangents far below the tolerance."""
    recurrence = contraction("mixing")
    given, rng = point(recurrence, 3)
    given = given._replace(
        params={
            n: np.broadcast_to(v, (ROWS, *v.shape[-k:])) for n, k in (("W", 2), ("b", 1)) for v in [given.params[n]]
        }
    )
    outputs, final, _ = run(recurrence, *given)
    g = rng.standard_normal(outputs["h"].shape)
    none = {"h": np.zeros_like(final["h"])}
    large, small = (gradient(recurrence, given, {"h": scale * g}, none) for scale in (1.0, 2.0**-60))
    assert_array_equal(small.inputs["x"] * 2.0**60, large.inputs["x"])


def test_the_start_has_no_gradient() -> None:
    text = CONTRACTIONS["scalar"].replace("fixpoint(0.0", "fixpoint(3 * x")
    plain, started = contraction("scalar"), front(f"recurrence r:{text}").recurrences[0]
    given, rng = point(plain, 4)
    outputs, final, _ = run(plain, *given)
    g, last = {n: rng.standard_normal(v.shape) for n, v in outputs.items()}, {"h": rng.standard_normal(ROWS)}
    for found, wanted in zip(gradient(started, given, g, last), gradient(plain, given, g, last), strict=True):
        for name, value in wanted.items():
            assert_allclose(found[name], value, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", CONTRACTIONS)
def test_slopes(name: str) -> None:
    recurrence = contraction(name)
    assert check(recurrence) == []
    found = slopes(recurrence, *point(recurrence, 5))
    assert found.smooth.any() and np.abs(found.tangent).max() > 1e-3
    assert_agree(found)


@pytest.mark.parametrize("derive", [adjoint, tangent])
@pytest.mark.parametrize("name", ["mixing", "two axes", "complex", "one after the other", "inner minimum"])
def test_slopes_of_derivatives(name: str, derive) -> None:
    once = without_totals(derive(contraction(name)))
    assert check(once) == []
    assert_agree(slopes(once, *point(once, 6, 2)))


# --- what passes keep ---


@pytest.mark.parametrize("name", CONTRACTIONS)
def test_splitting_changes_nothing(name: str) -> None:
    recurrence = contraction(name)
    given, _ = point(recurrence, 7)
    divided = split_fixpoints(recurrence)
    assert check(divided) == []
    inside = [
        sum(len(let.expr.lets) for let in r.lets if isinstance(let.expr, Fixpoint)) for r in (recurrence, divided)
    ]
    assert inside[1] <= inside[0] + 2
    for found, wanted in zip(run(divided, *given), run(recurrence, *given), strict=True):
        for key, value in wanted.items():
            assert_allclose(found[key], value, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("derive", [lambda r: r, adjoint, tangent], ids=["itself", "adjoint", "tangent"])
@pytest.mark.parametrize("name", CONTRACTIONS)
def test_the_text_means_the_same(name: str, derive) -> None:
    recurrence = without_totals(derive(contraction(name)))
    tree = parse_text(show(recurrence))
    again = resolve(tree.recurrences[0], tree)
    assert check(again) == []
    given, _ = point(recurrence, 8, 2)
    for found, wanted in zip(run(again, *given), run(recurrence, *given), strict=True):
        for key, value in wanted.items():
            assert_allclose(found[key], value, rtol=1e-9, atol=1e-10, err_msg=key)


def test_a_place_and_a_diagonal_of_a_solution() -> None:
    D, E, J = Axis("D"), Axis("D", 1), Axis("D", "j")
    body = "    input  x[D, D]\n    state  h[D, D]\n    for y in fixpoint(h):\n        y = 0.5 * y + x\n"
    (let, *_) = front(f"recurrence r:\n{body}    h = y\n    output h\n").recurrences[0].lets
    env = {"x": np.arange(9.0).reshape(3, 3), "h": np.zeros((3, 3))}
    whole = evaluate(let.expr, env, {"D": 3})
    assert_array_equal(evaluate(substitute(let.expr, {D: 1}), env, {"D": 3}), whole[1])
    assert_array_equal(evaluate(substitute(let.expr, {D: J, E: J}), env, {"D": 3}), np.diag(whole))


WRONG = {
    "positive tolerance": lambda node: replace(node, tolerance=0.0),
    "a round at least": lambda node: replace(node, rounds=0),
    "read before it is defined": lambda node: replace(node, given=()),
    "other axes than its own": lambda node: replace(node, index=(Axis("E"),)),
    "is defined 2 times": lambda node: replace(node, given=node.given * 2),
    "neither bound nor an axis": lambda node: replace(node, start=Ref("x", (Axis("D", "j"),))),
    "a bool value": lambda node: replace(node, result=Const(True)),
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_wrong_is_found(message: str) -> None:
    recurrence = contraction("affine")
    first, *rest = recurrence.lets
    broken = replace(recurrence, lets=(replace(first, expr=WRONG[message](first.expr)), *rest))
    assert any(message in said for said in check(broken)), check(broken)
