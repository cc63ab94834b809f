"""The references against other formulations of the same recurrence: library cells, closed forms, dense products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import lfilter

from tests.closed_forms import STEPS, case, causal, decay_products, dense_products, from_zero, torched
from tests.references import NAMES, load, random_case
from tests.references.functions import logsigmoid, sigmoid, silu, softplus
from tests.references.ports import SIZES, Array, Arrays, extents

SPECS = Path(__file__).resolve().parent.parent / "specs"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


# ---------------------------------------------------------------------------------------------- what all must do


def test_every_spec_has_a_reference_and_the_other_way_round():
    assert {path.stem for path in SPECS.rglob("*.rec")} == set(NAMES)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("T", [0, 1, 5])
def test_shapes_follow_the_ports(name: str, T: int, rng: np.random.Generator):
    module = load(name)
    sizes = {**module.CONSTANTS, **SIZES}
    inputs, params, outputs, final = case(name, rng, T)
    for kind, values, lead in [
        ("inputs", inputs, (T,)),
        ("params", params, ()),
        ("outputs", outputs, (T,)),
        ("states", final, ()),
        ("states", module.start(params, sizes), ()),
    ]:
        ports = module.SHAPES[kind]
        assert list(values) == list(ports)
        for key, value in values.items():
            assert value.shape == (*lead, *extents(ports[key], sizes))
            assert np.iscomplexobj(value) == ports[key].complex


@pytest.mark.parametrize("name", NAMES)
def test_no_steps_leave_the_state_as_it_was(name: str, rng: np.random.Generator):
    module = load(name)
    inputs, params, _, state = case(name, rng)
    _, final = module.reference({key: x[:0] for key, x in inputs.items()}, params, state)
    for key in state:
        assert_array_equal(final[key], state[key])


@pytest.mark.parametrize("name", NAMES)
def test_two_halves_are_the_whole_and_arguments_are_not_written(name: str, rng: np.random.Generator):
    module = load(name)
    inputs, params, outputs, final = case(name, rng)
    half = STEPS // 3
    first, state = from_zero(name, {key: x[:half] for key, x in inputs.items()}, params)
    kept = {key: x.copy() for key, x in {**inputs, **params, **state}.items()}
    second, end = module.reference({key: x[half:] for key, x in inputs.items()}, params, state)
    for key in outputs:
        assert_array_equal(np.concatenate([first[key], second[key]]), outputs[key])
    for key in final:
        assert_array_equal(end[key], final[key])
    for key, x in {**inputs, **params, **state}.items():
        assert_array_equal(x, kept[key])


def test_random_values_are_in_the_declared_ranges(rng: np.random.Generator):
    bounds = {"(0, 1)": (0, 1), "[0, 1)": (0, 1), "(0, 2)": (0, 2), "<= 0": (-np.inf, 0), ">= 0": (0, np.inf)}
    closed = {"[0, 1)", "<= 0", ">= 0"}
    for name in NAMES:
        module = load(name)
        inputs, params = random_case(name, 200, SIZES, rng)
        ports = {**module.SHAPES["inputs"], **module.SHAPES["params"]}
        for key, x in {**inputs, **params}.items():
            if ports[key].domain == "|k| = 1":
                assert_allclose(np.sum(x**2, axis=-1), 1, rtol=1e-12)
            elif ports[key].domain in bounds:
                low, high = bounds[ports[key].domain]
                assert np.all((low <= x) & (x <= high))
                assert ports[key].domain in closed or np.all((low < x) & (x < high))


def test_a_constant_that_is_an_axis_can_be_replaced(rng: np.random.Generator):
    inputs, _ = random_case("deltaproduct", 2, {**SIZES, "n": 3}, rng)
    assert inputs["k"].shape == (2, 3, SIZES["K"])
    with pytest.raises(KeyError, match="V"):
        random_case("deltaproduct", 2, {"K": 3}, rng)


@pytest.mark.parametrize("x", [-800.0, -30.0, -1.0, 0.0, 0.5, 30.0, 800.0])
def test_scalar_functions_agree_with_torch(x: float):
    value = torch.tensor(x, dtype=torch.float64)
    for ours, theirs in [
        (sigmoid, torch.sigmoid),
        (logsigmoid, torch.nn.functional.logsigmoid),
        (silu, torch.nn.functional.silu),
        (softplus, lambda v: torch.logaddexp(v, torch.zeros_like(v))),
    ]:
        assert_allclose(ours(x), theirs(value).item(), rtol=1e-14, atol=1e-300)


# ------------------------------------------------------------------------------------- elementwise linear


@pytest.mark.parametrize("coefficient", [0.9, -0.7, 0.0, 1.1])
def test_linear_scan_is_a_filter(coefficient: float, rng: np.random.Generator):
    x, h0 = rng.standard_normal((STEPS, 4)), rng.standard_normal(4)
    outputs, _ = load("linear_scan").reference({"a": np.full_like(x, coefficient), "x": x}, {}, {"h": h0})
    expected, _ = lfilter([1.0], [1.0, -coefficient], x, axis=0, zi=coefficient * h0[None])
    assert_allclose(outputs["h"], expected, rtol=1e-11, atol=1e-12)


def test_linear_scan_is_a_sum_of_decayed_inputs(rng: np.random.Generator):
    inputs, _, outputs, final = case("linear_scan", rng)
    expected = np.einsum("tsd,sd->td", decay_products(inputs["a"]), inputs["x"])
    assert_allclose(outputs["h"], expected, rtol=1e-11, atol=1e-12)
    assert_allclose(final["h"], expected[-1], rtol=1e-11, atol=1e-12)


def test_ema_is_a_filter(rng: np.random.Generator):
    inputs, params, outputs, _ = case("ema", rng)
    for d, alpha in enumerate(params["alpha"]):
        expected = lfilter([alpha], [1.0, alpha - 1.0], inputs["x"][:, d])
        assert_allclose(outputs["h"][:, d], expected, rtol=1e-11, atol=1e-12)


def elementwise_gates(name: str, inputs: Arrays, params: Arrays) -> tuple[Array, Array]:
    """Log decay and driving term, each in a form other than the paper's."""
    x = {key: torched(value) for key, value in {**inputs, **params}.items()}
    log_sigmoid = torch.nn.functional.logsigmoid
    if name == "mingru":
        log_decay, drive = log_sigmoid(-x["z"]), torch.exp(log_sigmoid(x["z"])) * x["x"]
    elif name == "minlstm":
        d = torch.nn.functional.softplus(-x["f"]) - torch.nn.functional.softplus(-x["i"])
        log_decay, drive = log_sigmoid(-d), torch.sigmoid(d) * x["x"]
    elif name == "rg_lru":
        log_decay = -8 * torch.log1p(torch.exp(x["lam"])) * torch.sigmoid(x["r"])
        drive = torch.sqrt(-torch.expm1(2 * log_decay)) * torch.sigmoid(x["i"]) * x["x"]
    else:
        bound = x["lb"].expand_as(x["f"])
        log_decay = torch.logaddexp(torch.log(bound), torch.log1p(-bound) + log_sigmoid(x["f"]))
        drive = (1 - bound) * torch.sigmoid(-x["f"]) * torch.nn.functional.silu(x["i"])
    return log_decay.numpy(), drive.numpy()


@pytest.mark.parametrize("name", ["mingru", "minlstm", "rg_lru", "hgrn"])
def test_gated_cells_are_sums_in_log_space(name: str, rng: np.random.Generator):
    inputs, params, outputs, _ = case(name, rng)
    log_decay, drive = elementwise_gates(name, inputs, params)
    total = np.cumsum(log_decay, axis=0)
    weights = np.exp(total[:, None] - total[None]) * causal(STEPS)[..., None]
    assert_allclose(outputs["h"], np.einsum("tsd,sd->td", weights, drive), rtol=1e-10, atol=1e-12)


def test_mamba_is_a_sum_over_the_prefix(rng: np.random.Generator):
    inputs, params, outputs, final = case("mamba", rng)
    delta = torch.nn.functional.softplus(torched(inputs["dt"])).numpy()
    weights = decay_products(np.exp(-delta[..., None] * np.exp(params["A_log"])))
    h = np.einsum("tsdn,sd,sn->tdn", weights, delta * inputs["x"], inputs["B"])
    expected = np.einsum("tdn,tn->td", h, inputs["C"]) + params["skip"] * inputs["x"]
    assert_allclose(outputs["y"], expected, rtol=1e-10, atol=1e-12)
    assert_allclose(final["h"], h[-1], rtol=1e-10, atol=1e-12)


def test_lru_is_a_convolution(rng: np.random.Generator):
    inputs, params, outputs, final = case("lru", rng)
    log_eigenvalue = -np.exp(params["nu"]) + 1j * np.exp(params["theta"])
    gamma = np.sqrt(-np.expm1(-2 * np.exp(params["nu"])))
    kernel = gamma * np.exp(np.arange(STEPS)[:, None] * log_eigenvalue)
    spectrum = np.fft.fft(kernel, 2 * STEPS, axis=0) * np.fft.fft(inputs["u"], 2 * STEPS, axis=0)
    h = np.fft.ifft(spectrum, axis=0)[:STEPS]
    assert_allclose(outputs["y"], (h @ params["C"].T).real, rtol=1e-10, atol=1e-11)
    assert_allclose(final["h"], h[-1], rtol=1e-10, atol=1e-11)


# ------------------------------------------------------------------------------------- masked attention forms


def test_linear_attention_is_normalised_masked_attention(rng: np.random.Generator):
    inputs, _, outputs, final = case("linear_attention", rng)
    q, k = (torch.nn.functional.elu(torched(inputs[key])).numpy() + 1 for key in "qk")
    scores = (q @ k.T) * causal(STEPS)
    expected = scores @ inputs["v"] / scores.sum(axis=1, keepdims=True)
    assert_allclose(outputs["o"], expected, rtol=1e-11, atol=1e-12)
    assert_allclose(final["S"], k.T @ inputs["v"], rtol=1e-11, atol=1e-12)
    assert_allclose(final["z"], k.sum(axis=0), rtol=1e-11)


def test_retnet_is_masked_attention_with_powers(rng: np.random.Generator):
    inputs, params, outputs, _ = case("retnet", rng)
    lag = np.arange(STEPS)[:, None] - np.arange(STEPS)
    weights = np.where(lag >= 0, params["gamma"] ** np.maximum(lag, 0), 0)
    expected = (inputs["q"] @ inputs["k"].T * weights) @ inputs["v"]
    assert_allclose(outputs["o"], expected, rtol=1e-11, atol=1e-12)


def test_gla_is_masked_attention_with_gated_queries_and_keys(rng: np.random.Generator):
    inputs, _, outputs, final = case("gla", rng)
    total = np.cumsum(inputs["gk"], axis=0)
    scores = (inputs["q"] * np.exp(total)) @ (inputs["k"] * np.exp(-total)).T
    assert_allclose(outputs["o"], (scores * causal(STEPS)) @ inputs["v"], rtol=1e-10, atol=1e-11)
    assert_allclose(final["S"], (inputs["k"] * np.exp(total[-1] - total)).T @ inputs["v"], rtol=1e-10, atol=1e-11)


def test_mamba2_is_masked_attention_with_segment_sums(rng: np.random.Generator):
    inputs, params, outputs, _ = case("mamba2", rng)
    delta = torch.nn.functional.softplus(torched(inputs["dt"])).numpy()
    total = np.cumsum(-delta * np.exp(params["A_log"]))
    weights = np.exp(total[:, None] - total) * causal(STEPS)
    expected = (inputs["C"] @ inputs["B"].T * weights) @ (delta[:, None] * inputs["x"])
    assert_allclose(outputs["y"], expected + params["D"] * inputs["x"], rtol=1e-10, atol=1e-11)


def test_aaren_is_softmax_attention(rng: np.random.Generator):
    inputs, params, outputs, final = case("aaren", rng)
    q = torched(params["q"]).expand(STEPS, -1)
    attention = torch.nn.functional.scaled_dot_product_attention
    expected = attention(q[None], torched(inputs["k"])[None], torched(inputs["v"])[None], is_causal=True, scale=1.0)[0]
    assert_allclose(outputs["o"], expected.numpy(), rtol=1e-11, atol=1e-12)
    assert_allclose(load("aaren").closed_form(inputs, params), expected.numpy(), rtol=1e-11, atol=1e-12)
    scores = torched(inputs["k"] @ params["q"])
    assert final["m"] == pytest.approx(scores.max().item(), rel=1e-14)
    assert np.log(final["u"]) + final["m"] == pytest.approx(torch.logsumexp(scores, 0).item(), rel=1e-13)


def test_mlstm_is_stabilised_quadratic_attention(rng: np.random.Generator):
    inputs, _, outputs, final = case("mlstm", rng)
    total = torch.nn.functional.logsigmoid(torched(inputs["f"])).numpy().cumsum()
    log_weights = np.where(causal(STEPS) > 0, total[:, None] - total + inputs["i"], -np.inf)
    m = log_weights.max(axis=1)
    weights = np.exp(log_weights - m[:, None])
    scores = (inputs["q"] @ inputs["k"].T) * weights
    divisor = np.maximum(np.abs(scores.sum(axis=1)), np.exp(-m))
    assert_allclose(outputs["h"], scores @ inputs["v"] / divisor[:, None], rtol=1e-10, atol=1e-12)
    assert_allclose(final["m"], m[-1], rtol=1e-12, atol=1e-12)
    assert_allclose(final["n"], weights[-1] @ inputs["k"], rtol=1e-10, atol=1e-12)
    assert_allclose(final["C"], (weights[-1][:, None] * inputs["k"]).T @ inputs["v"], rtol=1e-10, atol=1e-12)


def test_mlstm_output_does_not_depend_on_the_stabiliser(rng: np.random.Generator):
    inputs, _, outputs, _ = case("mlstm", rng)
    assert_allclose(outputs["h"], load("mlstm").closed_form(inputs), rtol=1e-10, atol=1e-12)
    state = {"C": np.zeros((3, 2)), "n": np.zeros(3), "m": np.array(2.5)}
    shifted, _ = load("mlstm").reference(inputs, {}, state)
    assert_allclose(outputs["h"], shifted["h"], rtol=1e-10, atol=1e-12)


# --------------------------------------------------------------------------------------------------- delta rules


@pytest.mark.parametrize("name", ["deltanet", "gated_deltanet", "delta_by_objective"])
def test_delta_rules_are_products_of_dense_transitions(name: str, rng: np.random.Generator):
    inputs, params = random_case(name, STEPS, SIZES, rng)
    k, start = inputs["k"], rng.standard_normal((SIZES["K"], SIZES["V"]))
    outputs, final = load(name).reference(inputs, params, {"S": start})
    beta, alpha = inputs["beta"][:, None, None], np.exp(inputs.get("g", np.zeros(STEPS)))[:, None, None]
    transitions = alpha * (np.eye(SIZES["K"]) - beta * k[:, :, None] * k[:, None, :])
    states = dense_products(transitions, beta * k[:, :, None] * inputs["v"][:, None, :], start)
    assert_allclose(outputs["o"], np.einsum("tk,tkv->tv", inputs["q"], states), rtol=1e-10, atol=1e-12)
    assert_allclose(final["S"], states[-1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_deltaproduct_is_a_product_of_dense_transitions(n: int, rng: np.random.Generator):
    inputs, params = random_case("deltaproduct", STEPS, {**SIZES, "n": n}, rng)
    start = rng.standard_normal((SIZES["K"], SIZES["V"]))
    outputs, _ = load("deltaproduct").reference(inputs, params, {"S": start})
    q, k, v, beta, g = (inputs[key] for key in ("q", "k", "v", "beta", "g"))
    first = np.exp(np.where(np.arange(n) == 0, g[:, None], 0))[..., None, None]
    scaled = beta[..., None, None] * k[..., :, None]
    transitions = (first * (np.eye(SIZES["K"]) - scaled * k[..., None, :])).reshape(-1, SIZES["K"], SIZES["K"])
    states = dense_products(transitions, (scaled * v[..., None, :]).reshape(-1, SIZES["K"], SIZES["V"]), start)
    assert_allclose(outputs["o"], np.einsum("tk,tkv->tv", q, states[n - 1 :: n]), rtol=1e-10, atol=1e-12)


def test_deltaproduct_of_one_step_is_gated_deltanet(rng: np.random.Generator):
    inputs, params, outputs, final = case("gated_deltanet", rng)
    one = {key: x[:, None] if key in ("k", "v", "beta") else x for key, x in inputs.items()}
    product, state = from_zero("deltaproduct", one, params)
    assert_allclose(product["o"], outputs["o"], rtol=1e-11, atol=1e-13)
    assert_allclose(state["S"], final["S"], rtol=1e-11, atol=1e-13)


def test_delta_by_objective_is_gated_deltanet(rng: np.random.Generator):
    inputs, params, outputs, final = case("gated_deltanet", rng)
    derived, state = from_zero("delta_by_objective", inputs, params)
    assert_allclose(derived["o"], outputs["o"], rtol=1e-11, atol=1e-13)
    assert_allclose(state["S"], final["S"], rtol=1e-11, atol=1e-13)


def test_delta_by_objective_follows_the_gradient_of_torch(rng: np.random.Generator):
    inputs, _, _, final = case("delta_by_objective", rng)
    k, v, beta, g = (torched(inputs[key]) for key in ("k", "v", "beta", "g"))
    S = torch.zeros(SIZES["K"], SIZES["V"], dtype=torch.float64)
    for t in range(STEPS):
        S = (torch.exp(g[t]) * S).requires_grad_()
        (gradient,) = torch.autograd.grad(0.5 * ((k[t] @ S - v[t]) ** 2).sum(), S)
        S = S.detach() - beta[t] * gradient
    assert_allclose(final["S"], S.numpy(), rtol=1e-11, atol=1e-13)


# ------------------------------------------------------------------------------------------------ nonlinear cells


def load_torch_cell(cell: torch.nn.RNNBase, matrices: list[Array], new_bias: Array | None) -> None:
    """Put our recurrent matrices in a torch cell whose input is already projected, gate after gate."""
    D, parameters = cell.hidden_size, dict(cell.named_parameters())
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.zero_()
        parameters["weight_ih_l0"].copy_(torch.eye(len(matrices) * D, dtype=torch.float64))
        parameters["weight_hh_l0"].copy_(torch.cat([torched(U).T for U in matrices]))
        if new_bias is not None:
            parameters["bias_hh_l0"][-D:].copy_(torched(new_bias))


def test_gru_is_torch_gru(rng: np.random.Generator):
    inputs, params = random_case("gru", STEPS, SIZES, rng)
    D, h0 = SIZES["D"], rng.standard_normal(SIZES["D"])
    outputs, final = load("gru").reference(inputs, params, {"h": h0})
    cell = torch.nn.GRU(3 * D, D, dtype=torch.float64)
    load_torch_cell(cell, [params[f"U_{gate}"] for gate in "rzn"], params["b_n"])
    x = torched(np.concatenate([inputs[f"x_{gate}"] for gate in "rzn"], axis=1))
    with torch.no_grad():
        expected, last = cell(x, torched(h0)[None])
    assert_allclose(outputs["h"], expected.numpy(), rtol=1e-11, atol=1e-13)
    assert_allclose(final["h"], last[0].numpy(), rtol=1e-11, atol=1e-13)


def test_lstm_is_torch_lstm(rng: np.random.Generator):
    inputs, params = random_case("lstm", STEPS, SIZES, rng)
    D = SIZES["D"]
    h0, c0 = rng.standard_normal(D), rng.standard_normal(D)
    outputs, final = load("lstm").reference(inputs, params, {"h": h0, "c": c0})
    cell = torch.nn.LSTM(4 * D, D, dtype=torch.float64)
    load_torch_cell(cell, [params[f"U_{gate}"] for gate in "ifgo"], None)
    x = torched(np.concatenate([inputs[f"x_{gate}"] for gate in "ifgo"], axis=1))
    with torch.no_grad():
        expected, (h, c) = cell(x, (torched(h0)[None], torched(c0)[None]))
    assert_allclose(outputs["h"], expected.numpy(), rtol=1e-11, atol=1e-13)
    assert_allclose(final["h"], h[0].numpy(), rtol=1e-11, atol=1e-13)
    assert_allclose(final["c"], c[0].numpy(), rtol=1e-11, atol=1e-13)


def slstm_preactivations(inputs: Arrays, params: Arrays, t: int, y: Array) -> list[Array]:
    return [inputs[f"x_{gate}"][t] + y @ params[f"R_{gate}"] for gate in "ifzo"]


def test_slstm_is_the_recurrence_without_a_stabiliser(rng: np.random.Generator):
    inputs, params, outputs, _ = case("slstm", rng)
    y = c = n = np.zeros(SIZES["D"])
    for t in range(STEPS):
        i, f, z, o = slstm_preactivations(inputs, params, t, y)
        c = c / (1 + np.exp(-f)) + np.exp(i) * np.tanh(z)
        n = n / (1 + np.exp(-f)) + np.exp(i)
        y = c / n / (1 + np.exp(-o))
        assert_allclose(outputs["y"][t], y, rtol=1e-10, atol=1e-12)


def test_slstm_is_the_recurrence_that_starts_its_stabiliser_at_minus_infinity(rng: np.random.Generator):
    inputs, params, outputs, final = case("slstm", rng)
    y = c = n = np.zeros(SIZES["D"])
    m = np.full(SIZES["D"], -np.inf)
    for t in range(STEPS):
        i, f, z, o = slstm_preactivations(inputs, params, t, y)
        a = m - np.logaddexp(0, -f)
        m = np.maximum(i, a)
        c = np.exp(a - m) * c + np.exp(i - m) * np.tanh(z)
        n = np.exp(a - m) * n + np.exp(i - m)
        y = c / n / (1 + np.exp(-o))
        assert_allclose(outputs["y"][t], y, rtol=1e-11, atol=1e-13)
    for key, value in {"y": y, "c": c, "n": n, "m": m}.items():
        assert_allclose(final[key], value, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("first", [-1000.0, 1000.0])
def test_slstm_first_step_survives_any_input_gate(first: float, rng: np.random.Generator):
    inputs, params, _, _ = case("slstm", rng, 1)
    inputs["x_i"][:] = first
    outputs, final = from_zero("slstm", inputs, params)
    expected = np.tanh(inputs["x_z"]) / (1 + np.exp(-inputs["x_o"]))
    assert_allclose(outputs["y"], expected, rtol=1e-12)
    assert_array_equal(final["m"], first)
    assert_array_equal(final["n"], 1.0)
