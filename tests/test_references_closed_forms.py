"""References of nonlinear cells against closed forms: sums over the prefix, rotations, filters and averages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import lfilter

from tests.cells import NONE, SHUT, STEPS, D, agree, drawn, random_start, run, sigmoid
from tests.closed_forms import case, decay_products, torched
from tests.references import load
from tests.references.ports import SIZES, Array, Arrays


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240611)


# ------------------------------------------------------------------------------- linear where gates see no state


def pooled(gate: Array, values: Array) -> Array:
    """`h[t] = f h[t-1] + (1 - f) z` from zero, as a sum over the prefix, with `f` a sigmoid of `gate`."""
    return np.einsum("tsd,sd->td", decay_products(sigmoid(gate)), sigmoid(-gate) * values)


def test_strongly_typed_networks_are_sums_over_the_prefix(rng: np.random.Generator) -> None:
    values = drawn("t_rnn", rng)
    agree(run("t_rnn", values), {"h": pooled(values["f"], values["z"])})
    values = drawn("t_lstm", rng)
    before = np.concatenate([0 * values["x"][:1], values["x"][:-1]])
    z, f, o = (before @ values[f"V_{k}"] + values["x"] @ values[f"W_{k}"] + values[f"b_{k}"] for k in "zfo")
    agree(run("t_lstm", values), {"h": np.tanh(o) * pooled(f, z)})
    total = np.einsum("tsd,sd->td", decay_products(sigmoid(f)), z * np.tanh(o))
    agree(run("t_gru", values), {"h": total})


def test_simple_and_quasi_recurrent_units_are_sums_over_the_prefix(rng: np.random.Generator) -> None:
    values = drawn("sru", rng)
    reset, c = sigmoid(values["r"]), pooled(values["f"], values["z"])
    agree(run("sru", values), {"h": reset * np.tanh(c) + (1 - reset) * values["x"]})
    blind = {**values, "x_f": values["f"], "x_r": values["r"], "v_f": np.zeros(D), "v_r": np.zeros(D)}
    agree(run("sru_gated", blind), {"h": reset * c + (1 - reset) * values["x"]})
    values = drawn("qrnn", rng)
    agree(run("qrnn", values), {"h": sigmoid(values["o"]) * pooled(values["f"], np.tanh(values["z"]))})


def test_gates_that_see_no_state_leave_sums_over_the_prefix(rng: np.random.Generator) -> None:
    values = drawn("lem", rng, W_1=NONE, W_2=NONE, W_z=NONE, W_y=NONE)
    agree(run("lem", values), {"y": pooled(-values["x_2"], np.tanh(values["x_y"]))})
    values = drawn("ligru", rng, U_z=NONE, U_h=NONE)
    agree(run("ligru", values), {"h": pooled(values["x_z"], np.maximum(values["x_h"], 0))})
    values = drawn("elstm", rng, w_f=np.zeros(D), w_z=np.zeros(D))
    c = pooled(values["x_f"], np.tanh(values["x_z"]))
    agree(run("elstm", values), {"h": sigmoid(values["x_o"] + c @ values["W_o"]) * c})
    values = drawn("ran", rng, U_i=NONE, U_f=NONE)
    weighted = sigmoid(values["x_i"]) * values["x_c"]
    agree(run("ran", values), {"h": np.tanh(np.einsum("tsd,sd->td", decay_products(sigmoid(values["x_f"])), weighted))})
    values = drawn("atr", rng, U=NONE)
    gate = sigmoid(values["p"])
    agree(run("atr", values), {"h": np.einsum("tsd,sd->td", decay_products(gate), gate * values["p"])})


def test_lem_reads_the_new_fast_state(rng: np.random.Generator) -> None:
    wide = np.full((STEPS, D), -SHUT)  # both steps are taken whole: y is a function of this step's z
    values = drawn("lem", rng, x_1=wide, x_2=wide, W_1=NONE, W_2=NONE, W_z=NONE)
    expected = np.tanh(np.tanh(values["x_z"]) @ values["W_y"] + values["x_y"])
    agree(run("lem", values), {"y": expected})


def test_elstm_carries_nothing_of_its_readout_matrix(rng: np.random.Generator) -> None:
    inputs, params, _, final = case("elstm", rng)
    other = {**params, "W_o": 2 * params["W_o"]}
    _, moved = load("elstm").reference(inputs, other, {"c": np.zeros(D)})
    assert_array_equal(final["c"], moved["c"])


def test_slow_units_of_scrn_are_a_filter(rng: np.random.Generator) -> None:
    inputs, _, outputs, _ = case("scrn", rng)
    expected = lfilter([1 - 0.95], [1.0, -0.95], inputs["x_s"], axis=0)
    assert_allclose(outputs["s"], expected, rtol=1e-11, atol=1e-13)


def test_membrane_below_its_threshold_is_a_filter_and_fires_when_it_touches() -> None:
    x = np.full((STEPS, 1), 0.05)
    outputs = run("lif_spiking", {"x": x}, {"u": np.zeros(1), "s": np.zeros(1)})
    assert_allclose(outputs["u"], lfilter([1.0], [1.0, -0.9], x, axis=0), rtol=1e-12)
    assert not outputs["s"].any()
    x = np.array([[1.0], [0.0], [2.0], [0.5]])
    outputs = run("lif_spiking", {"x": x}, {"u": np.zeros(1), "s": np.zeros(1)})
    assert_array_equal(outputs["s"][:, 0], [1, 0, 1, 1])
    assert_allclose(outputs["u"][:, 0], [1, 0, 2, 1.4], rtol=1e-12)


@pytest.mark.parametrize(("name", "rectified"), [("alrnn", slice(1, 3)), ("plrnn_shallow", None)])
def test_piecewise_linear_networks_are_affine_given_their_signs(
    name: str, rectified: slice | None, rng: np.random.Generator
) -> None:
    values, start = drawn(name, rng), random_start(name, rng)
    z, outputs = start["z"], run(name, values, start)
    for t in range(STEPS):
        if rectified is not None:
            signs = np.ones(D)
            signs[rectified] = z[rectified] > 0
            z = z @ (np.diag(values["A"]) + np.diag(signs) @ values["W"]) + values["b"] + values["u"][t]
            shown = z
        else:
            signs = z @ values["W2"] + values["h2"] > 0
            matrix = np.diag(values["A"]) + values["W2"] @ np.diag(signs) @ values["W1"]
            shown = z @ matrix + (values["h2"] * signs) @ values["W1"] + values["h1"]
            z = 0.9 * shown + 0.1 * values["z_hat"][t]
        assert_allclose(outputs["z" if name == "alrnn" else "pred"][t], shown, rtol=1e-10, atol=1e-11)


def test_ltc_with_constant_synapses_is_a_linear_filter_of_six_inner_steps(rng: np.random.Generator) -> None:
    values, start = drawn("ltc", rng, sigma=NONE), random_start("ltc", rng)
    v, open_to = start["v"], values["W"] / 2
    for t, got in enumerate(run("ltc", values, start)["v"]):
        given = values["gleak"] * values["vleak"] + (open_to * values["erev"]).sum(axis=0) + values["s_num"][t]
        lost = values["gleak"] + open_to.sum(axis=0) + values["s_den"][t]
        rest, keep = given / lost, values["cm"] / (values["cm"] + lost)
        v = rest + keep**6 * (v - rest)
        assert_allclose(got, v, rtol=1e-11, atol=1e-12)


# ---------------------------------------------------------------------------------- oscillators and orthogonality


def test_unicornn_runs_backwards_in_closed_form(rng: np.random.Generator) -> None:
    inputs, params, _, final = case("unicornn", rng)
    y, z, step = final["y"], final["z"], 0.1 * sigmoid(params["c"])
    for x in inputs["x"][::-1]:
        y = y - step * z
        z = z + step * (np.tanh(params["w"] * y + x) + y)
    assert_allclose([y, z], np.zeros((2, D)), atol=1e-12)


def test_cornn_without_weights_is_a_power_of_a_matrix(rng: np.random.Generator) -> None:
    start = random_start("cornn", rng)
    quiet = {"x": np.zeros((STEPS, D)), "W_y": NONE, "W_z": NONE}
    kick = np.array([[1.0, 0.0], [-0.1, 0.9]])  # z, by the old y and z
    drift = np.array([[1.0, 0.1], [0.0, 1.0]])  # then y, by the new z
    moved = np.linalg.matrix_power(drift @ kick, STEPS) @ np.stack([start["y"], start["z"]])
    assert_allclose(run("cornn", quiet, start)["y"][-1], moved[0], rtol=1e-11, atol=1e-13)


def test_the_coupling_of_rnn_of_rnns_is_antisymmetric_in_its_metric(rng: np.random.Generator) -> None:
    values = drawn("rnn_of_rnns", rng, u=np.zeros((1, D)), W=NONE)
    rows = [run("rnn_of_rnns", values, {"x": unit})["x"][0] for unit in np.eye(D)]
    coupling = (np.array(rows) - 0.9 * np.eye(D)) / 0.1
    energy = coupling * values["m"]
    assert_allclose(energy, -energy.T, atol=1e-12)
    assert np.abs(energy).max() > 0.1


@pytest.mark.parametrize("name", ["antisymmetric_rnn", "gated_antisymmetric_rnn"])
def test_antisymmetric_networks_turn_without_growing(name: str, rng: np.random.Generator) -> None:
    """To first order in the state, a step without input is the identity and a small turn."""
    values, small = drawn(name, rng), 1e-7
    values |= {key: np.zeros((1, D)) for key in ("x", "x_h", "x_z") if key in values}
    jacobian = np.array([run(name, values, {"h": small * unit})["h"][0] / small for unit in np.eye(D)])
    rate = 0.1 if name == "antisymmetric_rnn" else 0.05
    turn = (jacobian - np.eye(D)) / rate + 0.01 * np.eye(D)
    assert_allclose(turn, values["W"] - values["W"].T, atol=1e-5)


def test_lipschitz_rnn_is_euler_on_shifted_sums(rng: np.random.Generator) -> None:
    values, h = drawn("lipschitz_rnn", rng), np.zeros(D)
    A, W = (0.25 * (M + M.T) + 0.75 * (M - M.T) - 0.001 * np.eye(D) for M in (values["M_A"], values["M_W"]))
    for t, got in enumerate(run("lipschitz_rnn", values)["h"]):
        h = h + 0.03 * (h @ A + np.tanh(h @ W + values["x"][t]))
        assert_allclose(got, h, rtol=1e-11, atol=1e-13)


def test_ctrnn_without_weights_relaxes_to_its_input(rng: np.random.Generator) -> None:
    values = drawn("ctrnn", rng, W=NONE, x=np.ones((400, D)))
    y = run("ctrnn", values, {"y": np.zeros(D)})["y"]
    expected = 1 - (1 - 0.1 / values["tau"]) ** np.arange(1, 401)[:, None]
    assert_allclose(y, expected, rtol=1e-10)


def test_scornn_keeps_the_norm(rng: np.random.Generator) -> None:
    start = random_start("scornn", rng)
    values = drawn("scornn", rng, x=np.zeros((STEPS, D)), b=np.zeros(D), signs=np.array([1.0, -1.0, 1.0]))
    lengths = np.linalg.norm(run("scornn", values, start)["h"], axis=1)
    assert_allclose(lengths, np.linalg.norm(start["h"]), rtol=1e-12)
    still = run("scornn", {**values, "M": NONE, "signs": np.ones(D)}, start)["h"]
    assert_allclose(still, np.broadcast_to(start["h"], (STEPS, D)), rtol=1e-12)


def test_cfn_dies_out_and_star_stays_bounded(rng: np.random.Generator) -> None:
    quiet = drawn("cfn", rng, x=np.zeros((STEPS, D)))
    sizes = np.abs(run("cfn", quiet, {"h": np.ones(D)})["h"])
    assert np.all(np.diff(sizes, axis=0) < 0) and sizes[-1].max() < 0.3
    shut = drawn("star", rng, x_k=np.full((STEPS, D), SHUT), U_k=NONE)
    h = np.ones(D)
    for got in run("star", shut, {"h": h})["h"]:
        h = np.tanh(h)
        assert_allclose(got, h, rtol=1e-12)


def test_swishrnn_with_a_steep_gate_is_a_running_maximum(rng: np.random.Generator) -> None:
    values = drawn("swishrnn", rng, alpha=np.full(D, 1e6), beta=np.zeros(D), b_c=np.zeros(D))
    values["x2"] = np.full((STEPS, D), -SHUT)
    expected = np.maximum(np.maximum.accumulate(values["x1"]), 0)
    assert_allclose(run("swishrnn", values)["y"], expected, atol=1e-6)


# ----------------------------------------------------------------------------------------------------- attention


def window(values: Arrays, a: Array, b: Array, k: Array) -> tuple[Array, Array]:
    """Graves' window for logarithms of heights, widths and advances of all steps; and the weights."""
    position = np.cumsum(np.exp(k), axis=0)[:, None] - np.arange(1, SIZES["L"] + 1)[:, None]
    weights = (np.exp(a)[:, None] * np.exp(-np.exp(b)[:, None] * position**2)).sum(axis=2)
    return weights @ values["c"], weights


def test_attention_window_is_a_mixture_around_running_sums(rng: np.random.Generator) -> None:
    values = drawn("attention_window", rng)
    w, phi = window(values, values["a"], values["b"], values["k"])
    agree(run("attention_window", values), {"w": w, "phi": phi})


def test_attention_window_lstm_reads_its_window_one_step_later(rng: np.random.Generator) -> None:
    values = drawn("attention_window_lstm", rng)
    values["k"] = values["p"][2]
    outputs = run("attention_window_lstm", values)
    asked = [outputs["h"] @ values["P"][j] + values["p"][j] for j in range(3)]
    w, _ = window(values, *asked)
    assert_allclose(outputs["w"], w, rtol=1e-11, atol=1e-13)
    before = np.concatenate([np.zeros((1, SIZES["E"])), w[:-1]])
    plain = {f"U_{gate}": values["U"][j] for j, gate in enumerate("ifgo")}
    plain |= {f"x_{gate}": values["x"][:, j] + before @ values["V"][j] for j, gate in enumerate("ifgo")}
    agree({"h": outputs["h"]}, run("lstm", plain))


def test_recurrent_weighted_average_is_an_average_without_a_stabiliser(rng: np.random.Generator) -> None:
    values, h = drawn("rwa", rng), np.zeros(D)
    above = below = np.zeros(D)
    for t, got in enumerate(run("rwa", values)["h"]):
        weight = np.exp(values["x_a"][t] + h @ values["U_a"])
        above = above + weight * values["u"][t] * np.tanh(values["x_g"][t] + h @ values["U_g"])
        below = below + weight
        h = np.tanh(above / below)
        assert_allclose(got, h, rtol=1e-10, atol=1e-12)


def test_fast_weights_attend_to_the_states_that_were(rng: np.random.Generator) -> None:
    values, history = drawn("fast_weights", rng), [np.zeros(D)]
    for t, got in enumerate(run("fast_weights", values)["h"]):
        sustained = values["x"][t] + history[-1] @ values["U"]
        first = np.maximum(sustained, 0)
        ages = np.arange(len(history))[::-1]
        recalled = sum(0.5 * 0.95**age * (h @ first) * h for age, h in zip(ages, history, strict=True))
        normalised = torch.nn.functional.layer_norm(torched(sustained + recalled), (D,))
        history.append(torch.relu(normalised).numpy())
        assert_allclose(got, history[-1], rtol=1e-10, atol=1e-12)
