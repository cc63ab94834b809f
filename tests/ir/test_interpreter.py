"""The interpreter against hand-computed values, SciPy and torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
import torch
from numpy.testing import assert_allclose, assert_array_equal

from recc.ir import evaluation
from recc.ir.interpreter import evaluate, run, start, step
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
from recc.ir.primitives import BINARY, REDUCTIONS, UNARY

INF, NAN = math.inf, math.nan
K, V, D, E = Axis("K"), Axis("V"), Axis("D"), Axis("D", 1)
POINTS = np.array([-30.0, -2.5, -1.0, -0.5, 0.0, 0.3, 1.0, 2.5, 30.0])


def over_k(op: str, values: object) -> np.ndarray:
    array = np.asarray(values)
    return evaluate(Unary(op, Ref("x", (K,))), {"x": array}, {"K": len(array)})


def mul(x: Expr, y: Expr) -> Expr:
    return Binary("mul", x, y)


@pytest.mark.parametrize(
    ("table", "rows"),
    [(evaluation.UNARY, UNARY), (evaluation.BINARY, BINARY), (evaluation.REDUCTIONS, REDUCTIONS)],
)
def test_every_primitive_has_a_meaning(table: dict, rows: dict) -> None:
    assert set(table) == set(rows)


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("neg", 2.0, -2.0),
        ("exp", 1.0, math.e),
        ("log", math.e, 1.0),
        ("log1p", 1e-20, 1e-20),
        ("expm1", 1e-20, 1e-20),
        ("sqrt", 9.0, 3.0),
        ("sin", math.pi / 6, 0.5),
        ("cos", math.pi / 3, 0.5),
        ("tan", math.pi / 4, 1.0),
        ("tanh", math.log(2), 0.6),
        ("sinh", math.log(2), 0.75),
        ("cosh", math.log(2), 1.25),
        ("atan", 1.0, math.pi / 4),
        ("erf", 1.0, 0.8427007929497149),
        ("sigmoid", math.log(3), 0.75),
        ("logsigmoid", 0.0, -math.log(2)),
        ("softplus", 0.0, math.log(2)),
        ("relu", -3.0, 0.0),
        ("relu", 3.0, 3.0),
        ("abs", -3.0, 3.0),
        ("sign", -0.5, -1.0),
        ("sign", 0.0, 0.0),
        ("floor", -0.5, -1.0),
        ("ceil", -0.5, 0.0),
        ("round", 0.5, 0.0),
        ("round", 1.5, 2.0),
        ("ctz", 0.0, 0.0),
        ("ctz", 1.0, 0.0),
        ("ctz", 40.0, 3.0),
        ("ctz", 2.0**40, 40.0),
        ("real", 1.5, 1.5),
        ("real", 1 + 2j, 1.0),
        ("imag", 1 + 2j, 2.0),
        ("imag", 1.5, 0.0),
        ("conj", 1 + 2j, 1 - 2j),
        ("abs", 3 - 4j, 5.0),
        ("exp", 1j * math.pi, -1.0),
        ("sqrt", -4 + 0j, 2j),
        ("not", True, False),
    ],
)
def test_unary_values(op: str, value: complex, expected: complex) -> None:
    assert_allclose(over_k(op, [value]), [expected], atol=1e-15)


@pytest.mark.parametrize(
    ("op", "reference"),
    [
        ("sigmoid", scipy.special.expit),
        ("logsigmoid", scipy.special.log_expit),
        ("softplus", lambda x: np.logaddexp(0, x)),
        ("erf", scipy.special.erf),
    ],
)
def test_special_functions_agree_with_scipy_far_out(op: str, reference) -> None:
    points = np.concatenate([POINTS, [-800.0, 800.0]])
    assert_allclose(over_k(op, points), reference(points), rtol=1e-14)


@pytest.mark.parametrize("op", sorted(set(UNARY) & {name for name in dir(torch) if not name.startswith("_")}))
def test_unary_agrees_with_torch(op: str) -> None:
    x = np.abs(POINTS) if op in ("log", "log1p", "sqrt") else POINTS
    x = x > 0 if op == "not" else x
    tensor = torch.tensor(x) + (0j if op == "imag" else 0)
    assert_allclose(over_k(op, x), getattr(torch, op)(tensor).numpy(), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("op", ["exp", "sqrt", "sin", "cos", "tanh", "abs", "conj", "real", "imag"])
def test_complex_unary_agrees_with_torch(op: str) -> None:
    z = np.array([0.3 - 0.7j, -1.2 + 0.1j, 2j])
    assert_allclose(over_k(op, z), getattr(torch, op)(torch.tensor(z)).resolve_conj().numpy(), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("op", "x", "y", "expected"),
    [
        ("add", 2.0, 3.0, 5.0),
        ("sub", 2.0, 3.0, -1.0),
        ("mul", 2.0, 3.0, 6.0),
        ("mul", 1j, 1j, -1.0),
        ("div", 3.0, 2.0, 1.5),
        ("div", 1.0, 0.0, INF),
        ("pow", 2.0, -2.0, 0.25),
        ("pow", -8.0, 1 / 3, NAN),
        ("mod", -7.0, 3.0, 2.0),
        ("mod", 7.0, -3.0, -2.0),
        ("floordiv", -7.0, 2.0, -4.0),
        ("max", 2.0, 3.0, 3.0),
        ("max", 2.0, NAN, NAN),
        ("min", 2.0, 3.0, 2.0),
        ("logaddexp", 0.0, 0.0, math.log(2)),
        ("logaddexp", -INF, -INF, -INF),
        ("logaddexp", -INF, 1.0, 1.0),
        ("logaddexp", 1000.0, 1000.0, 1000 + math.log(2)),
        ("lt", 2.0, 3.0, True),
        ("le", 3.0, 3.0, True),
        ("gt", 2.0, 3.0, False),
        ("ge", 3.0, 3.0, True),
        ("eq", 3.0, 3.0, True),
        ("ne", 3.0, 3.0, False),
        ("and", True, False, False),
        ("or", True, False, True),
    ],
)
def test_binary_values(op: str, x: complex, y: complex, expected: complex) -> None:
    got = evaluate(Binary(op, Ref("x"), Ref("y")), {"x": np.asarray(x), "y": np.asarray(y)}, {})
    assert_allclose(got, expected, rtol=1e-14)
    assert (got.dtype == bool) == isinstance(expected, bool)


@pytest.mark.parametrize(
    ("op", "values", "expected"),
    [
        ("sum", [1.0, 2.0, 4.0], 7.0),
        ("sum", [], 0.0),
        ("max", [1.0, 4.0, 2.0], 4.0),
        ("max", [], -INF),
        ("max", [-INF, -INF], -INF),
        ("max", [1.0, NAN], NAN),
        ("min", [1.0, 4.0, 2.0], 1.0),
        ("min", [], INF),
        ("logsumexp", [0.0, math.log(3)], math.log(4)),
        ("logsumexp", [1000.0, 1000.0], 1000 + math.log(2)),
        ("logsumexp", [-INF, -INF], -INF),
        ("logsumexp", [-INF, 2.0], 2.0),
        ("logsumexp", [INF, 2.0], INF),
        ("logsumexp", [], -INF),
        ("any", [False, True], True),
        ("any", [False, False], False),
    ],
)
def test_reduction_values(op: str, values: list, expected: float) -> None:
    got = evaluate(Reduce(op, Ref("x", (K,)), (K,)), {"x": np.array(values)}, {"K": len(values)})
    assert_allclose(got, expected)


def test_logsumexp_agrees_with_scipy() -> None:
    x = np.random.default_rng(0).normal(size=(4, 3, 5)) * 50
    got = evaluate(Reduce("logsumexp", Ref("x", (K, V)), (K,)), {"x": x}, {"K": 3, "V": 5})
    assert_allclose(got, scipy.special.logsumexp(x, axis=1), rtol=1e-14)


def test_a_reduction_counts_axes_along_which_its_operand_is_constant() -> None:
    expr = Reduce("sum", Ref("x", (V,)), (K,))
    assert_array_equal(evaluate(expr, {"x": np.array([1.0, 2.0])}, {"K": 3, "V": 2}), [3.0, 6.0])


def test_where_takes_nothing_from_the_other_side() -> None:
    x = np.array([-1.0, 4.0])
    ref = Ref("x", (K,))
    expr = Where(Binary("gt", ref, Const(0)), Unary("sqrt", ref), Const(0))
    assert_array_equal(evaluate(expr, {"x": x}, {"K": 2}), [0.0, 2.0])


def test_axes_meet_by_name_and_keep_the_order_of_the_fuller_side() -> None:
    x, y = np.arange(3.0), np.arange(6.0).reshape(2, 3)
    expr = mul(Ref("x", (K,)), Ref("y", (V, K)))
    assert expr.axes == (V, K)
    assert_array_equal(evaluate(expr, {"x": x, "y": y}, {"K": 3, "V": 2}), x * y)


def test_an_outer_product_and_a_transpose_need_no_nodes() -> None:
    x, U = np.arange(1.0, 4.0), np.arange(9.0).reshape(3, 3)
    outer = evaluate(mul(Ref("x", (D,)), Ref("x", (E,))), {"x": x}, {"D": 3})
    assert_array_equal(outer, np.outer(x, x))
    both = Binary("sub", Ref("U", (D, E)), Ref("U", (E, D)))
    assert both.axes == (E, D)
    assert_array_equal(evaluate(both, {"U": U}, {"D": 3}), (U - U.T).T)


def test_the_two_sides_of_a_matrix_are_told_apart() -> None:
    U, h = np.arange(9.0).reshape(3, 3), np.array([1.0, 10.0, 100.0])
    first = Reduce("sum", mul(Ref("U", (E, D)), Ref("h", (E,))), (E,))
    second = Reduce("sum", mul(Ref("U", (D, E)), Ref("h", (E,))), (E,))
    assert_array_equal(evaluate(first, {"U": U, "h": h}, {"D": 3}), h @ U)
    assert_array_equal(evaluate(second, {"U": U, "h": h}, {"D": 3}), U @ h)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ((D, D), [0.0, 4.0, 8.0]),
        ((1, D), [3.0, 4.0, 5.0]),
        ((D, 1), [1.0, 4.0, 7.0]),
        ((2, 0), 6.0),
    ],
)
def test_references_select_places_and_diagonals(index: tuple, expected: object) -> None:
    U = np.arange(9.0).reshape(3, 3)
    assert_array_equal(evaluate(Ref("U", index), {"U": U}, {"D": 3}), expected)
    batched = evaluate(Ref("U", index), {"U": np.stack([U, 2 * U])}, {"D": 3})
    assert_array_equal(batched[1], 2 * np.asarray(expected))


def test_positions_and_sizes_are_numbers() -> None:
    expr = Binary("add", Arange(K), SizeOf("K"))
    assert_array_equal(evaluate(expr, {}, {"K": 3}), [3.0, 4.0, 5.0])


def test_a_numeric_size_needs_no_entry() -> None:
    assert_array_equal(evaluate(Arange(Axis(3)), {}, {}), [0.0, 1.0, 2.0])


@pytest.mark.parametrize("shift", [-1, 0, 1, 7])
def test_roll(shift: int) -> None:
    x = np.arange(6.0).reshape(3, 2)
    got = evaluate(Roll(Ref("x", (K, V)), K, shift), {"x": x}, {"K": 3, "V": 2})
    assert_array_equal(got, [x[(i - shift) % 3] for i in range(3)])


def test_a_window_by_hand() -> None:
    x, tap = np.array([1.0, 2.0, 3.0]), Axis("R")
    plain = evaluate(Window(Ref("x", (K,)), K, tap), {"x": x}, {"K": 3, "R": 3})
    assert_array_equal(plain, [[0, 1, 2], [1, 2, 3], [2, 3, 0]])
    around = evaluate(Window(Ref("x", (K,)), K, tap, wrap=True), {"x": x}, {"K": 3, "R": 3})
    assert_array_equal(around, [[3, 1, 2], [1, 2, 3], [2, 3, 1]])
    even = evaluate(Window(Ref("x", (K,)), K, tap), {"x": x}, {"K": 3, "R": 2})
    assert_array_equal(even, [[0, 1], [1, 2], [2, 3]])


@pytest.mark.parametrize("wrap", [False, True])
def test_a_window_under_weights_is_a_torch_convolution(wrap: bool) -> None:
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(2, 7)), rng.normal(size=(4, 2, 3))
    channel, tap = Axis("C"), Axis("R")
    window = Window(Ref("x", (channel, K)), K, tap, wrap)
    expr = Reduce("sum", mul(window, Ref("W", (Axis("O"), channel, tap))), (channel, tap))
    got = evaluate(expr, {"x": x, "W": weights}, {"C": 2, "K": 7, "O": 4, "R": 3})
    mode = "circular" if wrap else "constant"
    padded = torch.nn.functional.pad(torch.tensor(x)[None], (1, 1), mode=mode)
    expected = torch.nn.functional.conv1d(padded, torch.tensor(weights))[0].numpy()
    assert expr.axes == (K, Axis("O"))
    assert_allclose(got, expected.T, rtol=1e-12)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("taps", [1, 2, 3, 6])
def test_fold_is_the_transpose_of_window(wrap: bool, taps: int) -> None:
    rng = np.random.default_rng(taps)
    tap, sizes = Axis("R"), {"K": 4, "V": 2, "R": taps}
    x, y = rng.normal(size=(2, 4)), rng.normal(size=(2, 4, taps))
    window = evaluate(Window(Ref("x", (V, K)), K, tap, wrap), {"x": x}, sizes)
    fold = evaluate(Fold(Ref("y", (V, K, tap)), K, tap, wrap), {"y": y}, sizes)
    assert_allclose(np.sum(window * y), np.sum(x * fold), rtol=1e-12)


def test_solve_with_batches_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    A, b = rng.normal(size=(2, 5, 3, 3)), rng.normal(size=(2, 3, 4))
    batch, row = Axis("N"), Axis("D", "r")
    expr = Solve(Ref("A", (batch, row, D)), Ref("b", (row, K)), row, D)
    got = evaluate(expr, {"A": A, "b": b}, {"N": 5, "D": 3, "K": 4})
    names = {batch: "n", D: "d", K: "k"}
    result = "".join(names[axis] for axis in expr.axes)
    assert_allclose(np.einsum(f"bnrd,b{result}->bnrk", A, got), np.broadcast_to(b[:, None], (2, 5, 3, 4)), atol=1e-12)


def test_a_right_side_that_is_constant_along_the_row() -> None:
    row = Axis("D", "r")
    got = evaluate(Solve(Ref("A", (row, D)), Const(1), row, D), {"A": np.diag([1.0, 2.0, 4.0])}, {"D": 3})
    assert_allclose(got, [1.0, 0.5, 0.25])


def test_unknown_sizes_and_mixed_batch_dims_are_refused() -> None:
    with pytest.raises(ValueError, match="size `K` is not known"):
        evaluate(Arange(K), {}, {})
    with pytest.raises(ValueError, match="different numbers of batch dims"):
        evaluate(mul(Ref("x"), Ref("y")), {"x": np.ones(2), "y": np.ones((2, 2))}, {})


# --- recurrences ---

S, S1 = Ref("S", (K, V)), Ref("S_1", (K, V))
DELTA = Recurrence(
    "gated_deltanet",
    inputs=(Var("q", ("K",)), Var("k", ("K",)), Var("v", ("V",)), Var("g"), Var("beta")),
    states=(State(Var("S", ("K", "V")), Const(0)),),
    lets=(
        Let("S_1", (K, V), mul(Unary("exp", Ref("g")), S)),
        Let("e", (V,), Binary("sub", Ref("v", (V,)), Reduce("sum", mul(Ref("k", (K,)), S1), (K,)))),
        Let("S_2", (K, V), Binary("add", S1, mul(Ref("beta"), mul(Ref("k", (K,)), Ref("e", (V,)))))),
    ),
    updates=(Ref("S_2", (K, V)),),
    outputs=(Output(Var("o", ("V",)), Reduce("sum", mul(Ref("q", (K,)), Ref("S_2", (K, V))), (K,))),),
)


def delta_inputs(steps: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "q": rng.normal(size=(2, 1, steps, 4)),
        "k": rng.normal(size=(2, 3, steps, 4)),
        "v": rng.normal(size=(3, steps, 5)),
        "g": -rng.random((2, 3, steps)),
        "beta": rng.random((1, 1, steps)),
    }


def test_a_recurrence_against_a_loop_with_lanes_that_broadcast() -> None:
    inputs = delta_inputs(6)
    outputs, final, totals = run(DELTA, inputs)
    assert totals == {}
    for b in range(2):
        for h in range(3):
            memory = np.zeros((4, 5))
            for t in range(6):
                k = inputs["k"][b, h, t]
                memory = np.exp(inputs["g"][b, h, t]) * memory
                memory = memory + inputs["beta"][0, 0, t] * np.outer(k, inputs["v"][h, t] - k @ memory)
                assert_allclose(outputs["o"][b, h, t], inputs["q"][b, 0, t] @ memory, atol=1e-12)
            assert_allclose(final["S"][b, h], memory, atol=1e-12)


def test_two_calls_are_one() -> None:
    inputs = delta_inputs(6)
    dims = {"q": -2, "k": -2, "v": -2, "g": -1, "beta": -1}
    first = {name: np.take(x, range(2), axis=dims[name]) for name, x in inputs.items()}
    second = {name: np.take(x, range(2, 6), axis=dims[name]) for name, x in inputs.items()}
    whole, final, _ = run(DELTA, inputs)
    head, middle, _ = run(DELTA, first)
    tail, end, _ = run(DELTA, second, {}, middle)
    assert_array_equal(np.concatenate([head["o"], tail["o"]], axis=-2), whole["o"])
    assert_array_equal(end["S"], final["S"])


def test_no_steps_give_empty_outputs_and_the_start() -> None:
    outputs, final, _ = run(DELTA, delta_inputs(0))
    assert outputs["o"].shape == (2, 3, 0, 5)
    assert_array_equal(final["S"], np.zeros((2, 3, 4, 5)))


def test_all_states_are_read_on_entry() -> None:
    a, b = Ref("a"), Ref("b")
    swap = Recurrence(
        "swap",
        states=(State(Var("a"), Const(1)), State(Var("b"), Const(2))),
        updates=(b, a),
        outputs=(Output(Var("y"), Binary("sub", a, b)),),
    )
    outputs, final, _ = run(swap, {}, steps=3)
    assert_array_equal(outputs["y"], [-1.0, 1.0, -1.0])
    assert (final["a"], final["b"]) == (2.0, 1.0)


def test_a_definition_is_constant_along_the_axes_that_its_expression_lacks() -> None:
    r = Recurrence(
        "spread",
        inputs=(Var("x", ("K",)),),
        lets=(Let("c", (K,), Const(2)),),
        outputs=(Output(Var("y"), Reduce("sum", Ref("c", (K,)), (K,))),),
    )
    assert_array_equal(run(r, {"x": np.ones((1, 3))})[0]["y"], [6.0])


def test_totals_are_summed_over_time_and_kept_apart_by_batch() -> None:
    r = Recurrence("total", (Var("x"),), (Var("w", ("K",)),), totals=(Output(Var("d", ("K",)), Ref("x")),))
    _, _, totals = run(r, {"x": np.array([[1.0, 2.0], [3.0, 4.0]])}, {"w": np.zeros(2)})
    assert_array_equal(totals["d"], [[3.0, 3.0], [7.0, 7.0]])
    assert_array_equal(run(r, {"x": np.zeros((2, 0))}, {"w": np.zeros(2)})[2]["d"], np.zeros((2, 2)))


def test_starts_read_params_and_take_the_common_batch() -> None:
    r = Recurrence(
        "scan",
        (Var("x"),),
        (Var("a", ("K",)),),
        (State(Var("h", ("K",)), mul(Const(2), Ref("a", (K,)))), State(Var("m"), Const(-INF))),
        updates=(Ref("h", (K,)), Ref("m")),
    )
    states = start(r, {"a": np.array([1.0, 3.0])}, (2,))
    assert_array_equal(states["h"], [[2.0, 6.0]] * 2)
    assert_array_equal(states["m"], [-INF, -INF])
    _, final, _ = run(r, {"x": np.zeros((5, 1))}, {"a": np.ones((1, 2))})
    assert final["h"].shape == (5, 2) and final["m"].shape == (5,)


def test_complex_states() -> None:
    lam, h = Ref("lam", (K,), "complex"), Ref("h", (K,), "complex")
    r = Recurrence(
        "lru",
        (Var("u"),),
        (Var("lam", ("K",), complex=True),),
        (State(Var("h", ("K",), complex=True), Const(0)),),
        updates=(Binary("add", mul(lam, h), Ref("u")),),
        outputs=(Output(Var("y"), Reduce("sum", Unary("real", h), (K,))),),
    )
    outputs, final, _ = run(r, {"u": np.array([1.0, 0.0, 0.0])}, {"lam": np.array([1j, 0.5])})
    assert_allclose(final["h"], [-1.0, 0.25])
    assert_allclose(outputs["y"], [0.0, 2.0, 0.5])


def test_a_step_does_not_change_what_it_is_given() -> None:
    env = {"x": np.ones(1), "h": np.ones(1)}
    r = Recurrence("sum", (Var("x"),), (), (State(Var("h"), Const(0)),), (), (Binary("add", Ref("h"), Ref("x")),))
    assert_array_equal(step(r, env, {}, 1)[1]["h"], [2.0])
    assert_array_equal(env["h"], [1.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"q": None}, "the input `q` is missing"),
        ({"z": np.ones(3)}, "`z` is not a name of the recurrence's inputs"),
        ({"g": np.ones((2, 3, 5))}, "one number of steps"),
        ({"q": np.ones((2, 3, 6, 7))}, "where the size `K` is"),
        ({"q": np.ones(4)}, "needs at least 2 dims"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(changes: dict, message: str) -> None:
    inputs = {name: x for name, x in {**delta_inputs(6), **changes}.items() if x is not None}
    with pytest.raises(ValueError, match=message):
        run(DELTA, inputs)


def test_a_state_must_be_given_whole() -> None:
    with pytest.raises(ValueError, match="the state `S` is missing"):
        run(DELTA, delta_inputs(1), {}, {})


def test_steps_are_needed_without_inputs_and_complex_is_not_real() -> None:
    r = Recurrence("still", states=(State(Var("h"), Const(0)),), updates=(Ref("h"),))
    with pytest.raises(ValueError, match="give `steps`"):
        run(r, {})
    with pytest.raises(TypeError, match="`h` is real"):
        run(r, {}, {}, {"h": np.array(1j)}, steps=1)
