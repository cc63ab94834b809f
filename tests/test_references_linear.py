"""References of linear, gated and delta-rule recurrences against masked attention, filters and dense transitions."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import expm
from scipy.signal import lfilter

from tests.closed_forms import STEPS, case, causal, decay_products, dense_products, from_zero, torched
from tests.references import load, random_case
from tests.references.ports import SIZES, Array, Arrays

assert_close = partial(assert_allclose, rtol=1e-10, atol=1e-12)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240701)


def sigmoid(x: Array) -> Array:
    return torch.sigmoid(torched(x)).numpy()


def outers(x: Array, y: Array) -> Array:
    return x[..., :, None] * y[..., None, :]


def random_state(rng: np.random.Generator) -> Array:
    return rng.standard_normal((SIZES["K"], SIZES["V"]))


def check_transitions(
    name: str, inputs: Arrays, transitions: Array, writes: Array, rng: np.random.Generator, query: str = "q"
) -> None:
    """A matrix state after the update is a sum over writes, each carried on by dense transitions (T, K, K)."""
    start = random_state(rng)
    outputs, final = load(name).reference(inputs, {}, {"S": start})
    states = dense_products(transitions, writes, start)
    assert_close(outputs["o"], np.einsum("tk,tkv->tv", inputs[query], states))
    assert_close(final["S"], states[-1])


# ------------------------------------------------------------------------------------------------ elementwise, LTI


def test_s5_is_the_exponential_of_the_continuous_system_that_holds_its_input(rng: np.random.Generator):
    inputs, params, outputs, final = case("s5", rng)
    N, U = params["B"].shape
    system = np.zeros((N + U, N + U), dtype=complex)
    system[:N] = np.concatenate([np.diag(params["Lam"]), params["B"]], axis=1) * np.exp(params["log_step"])[:, None]
    discrete = expm(system)
    A, B = discrete[:N, :N], discrete[:N, N:]
    kernel = np.real(np.stack([params["C"] @ np.linalg.matrix_power(A, lag) @ B for lag in range(STEPS)]))
    expected = inputs["u"] * params["D"]
    for t in range(STEPS):
        expected[t] += sum(kernel[t - s] @ inputs["u"][s] for s in range(t + 1))
    assert_close(outputs["y"], expected)
    last = sum(np.linalg.matrix_power(A, STEPS - 1 - s) @ B @ inputs["u"][s] for s in range(STEPS))
    assert_close(final["x"], last)


def test_gateloop_is_a_sum_of_turned_and_decayed_inputs(rng: np.random.Generator):
    inputs, _, outputs, final = case("gateloop", rng)
    weights = decay_products(sigmoid(inputs["alpha"])).astype(complex)
    angle = np.cumsum(inputs["beta"], axis=0)
    weights *= np.exp(1j * (angle[:, None] - angle))
    h = np.einsum("tsd,sd->td", weights, inputs["k"] * inputs["v"])
    assert_close(outputs["y"], inputs["q"] * h.real)
    assert_close(final["h"], h[-1])


def test_mega_ema_is_a_bank_of_filters(rng: np.random.Generator):
    inputs, params, outputs, _ = case("mega_ema", rng)
    alpha, delta, beta, eta = (params[name] for name in ("alpha", "delta", "beta", "eta"))
    expected = np.zeros_like(outputs["y"])
    for d, n in np.ndindex(alpha.shape):
        numerator, denominator = [alpha[d, n] * beta[d, n]], [1.0, alpha[d, n] * delta[d, n] - 1.0]
        expected[:, d] += eta[d, n] * lfilter(numerator, denominator, inputs["x"][:, d])
    assert_close(outputs["y"], expected)


def test_running_max_is_an_accumulated_maximum(rng: np.random.Generator):
    inputs, _, outputs, final = case("running_max", rng)
    assert_array_equal(outputs["m"], torch.cummax(torched(inputs["x"]), dim=0).values.numpy())
    assert_array_equal(final["m"], inputs["x"].max(axis=0))


# ------------------------------------------------------------------------- matrix state, scalar or diagonal decay


def test_lightning_attention_is_masked_attention_and_retnet(rng: np.random.Generator):
    inputs, params, outputs, final = case("lightning_attention", rng)
    lag = np.arange(STEPS)[:, None] - np.arange(STEPS)
    weights = np.exp(-params["slope"] * np.maximum(lag, 0)) * causal(STEPS)
    assert_close(outputs["o"], (inputs["q"] @ inputs["k"].T * weights) @ inputs["v"])
    retained, state = from_zero("retnet", inputs, {"gamma": np.exp(-params["slope"])})
    assert_close(retained["o"], outputs["o"])
    assert_close(state["S"], final["S"])


def test_lightning_attention_goes_block_by_block(rng: np.random.Generator):
    """The paper's algorithm: attention inside a block, the decayed state of all blocks before it, and its update."""
    inputs, params, outputs, final = case("lightning_attention", rng)
    state, blocks = np.zeros((SIZES["K"], SIZES["V"])), []
    for begin in range(0, STEPS, 5):
        q, k, v = (inputs[name][begin : begin + 5] for name in "qkv")
        place = np.arange(len(q))
        mask = np.exp(-params["slope"] * (place[:, None] - place)) * causal(len(q))
        from_before = np.exp(-params["slope"] * (place + 1))[:, None] * (q @ state)
        blocks.append((q @ k.T * mask) @ v + from_before)
        left = np.exp(-params["slope"] * (len(q) - 1 - place))[:, None]
        state = np.exp(-params["slope"] * len(q)) * state + (left * k).T @ v
    assert_close(outputs["o"], np.concatenate(blocks))
    assert_close(final["S"], state)


def test_hgrn2_is_gla_with_a_tied_key(rng: np.random.Generator):
    inputs, params, outputs, final = case("hgrn2", rng)
    log_f = torch.nn.functional.logsigmoid(torched(inputs["f"]))
    bound = torched(params["lb"])
    log_gate = torch.logaddexp(torch.log(bound), torch.log1p(-bound) + log_f).numpy()
    tied = {"q": inputs["q"], "k": -np.expm1(log_gate), "v": inputs["i"], "gk": log_gate}
    expected, state = from_zero("gla", tied, {})
    assert_close(outputs["o"], expected["o"])
    assert_close(final["S"], state["S"])


def test_mlstm_sigmoid_is_masked_attention_with_segment_sums(rng: np.random.Generator):
    inputs, _, outputs, final = case("mlstm_sigmoid", rng)
    total = torch.nn.functional.logsigmoid(torched(inputs["f"])).numpy().cumsum()
    weights = np.exp(total[:, None] - total) * causal(STEPS) * sigmoid(inputs["i"])
    assert_close(outputs["h"], (inputs["q"] @ inputs["k"].T * weights) @ inputs["v"])
    assert_close(final["C"], (weights[-1][:, None] * inputs["k"]).T @ inputs["v"])


def test_rwkv6_is_strictly_masked_attention_and_a_bonus(rng: np.random.Generator):
    inputs, params, outputs, final = case("rwkv6", rng)
    r, k, v, total = inputs["r"], inputs["k"], inputs["v"], np.cumsum(inputs["w"], axis=0)
    before = np.concatenate([np.zeros((1, SIZES["K"])), total[:-1]])
    scores = (r * np.exp(before)) @ (k * np.exp(-total)).T * np.tril(np.ones((STEPS, STEPS)), -1)
    scores += np.diag(np.sum(r * params["u"] * k, axis=1))
    assert_allclose(outputs["o"], scores @ v, rtol=1e-10, atol=1e-11)
    assert_allclose(final["S"], (k * np.exp(total[-1] - total)).T @ v, rtol=1e-10, atol=1e-11)


def test_rwkv4_is_a_weighted_mean_with_a_bonus(rng: np.random.Generator):
    inputs, params, outputs, final = case("rwkv4", rng)
    k, v, w, u = inputs["k"], inputs["v"], params["w"], params["u"]
    lag = (np.arange(STEPS)[:, None] - np.arange(STEPS))[..., None]
    weights = np.where(lag > 0, np.exp(-(lag - 1) * np.exp(w) + k), np.where(lag == 0, np.exp(u + k), 0.0))
    expected = np.einsum("tsd,sd->td", weights, v) / weights.sum(axis=1)
    assert_close(outputs["o"], expected)
    last = np.exp(lag[-1] * -np.exp(w) + k)
    assert_close(final["b"] * np.exp(final["p"]), last.sum(axis=0))
    assert_close(final["a"] * np.exp(final["p"]), (last * v).sum(axis=0))


@pytest.mark.parametrize("shift", [-2000.0, 2000.0])
def test_rwkv4_is_unchanged_by_a_shift_of_all_keys(shift: float, rng: np.random.Generator):
    inputs, params, outputs, final = case("rwkv4", rng)
    shifted, state = from_zero("rwkv4", {**inputs, "k": inputs["k"] + shift}, params)
    assert_allclose(shifted["o"], outputs["o"], rtol=1e-9, atol=1e-11)
    assert_allclose(state["p"], final["p"] + shift, rtol=1e-12)


def test_lightnet_is_a_softmax_over_time_in_every_key_channel(rng: np.random.Generator):
    inputs, *_ = case("lightnet", rng)
    inputs["k"][4] += 800
    outputs, final = from_zero("lightnet", inputs, {})
    for t in range(STEPS):
        weights = torch.softmax(torched(inputs["k"][: t + 1]), dim=0).numpy()
        assert_close(outputs["o"][t], inputs["q"][t] @ (weights.T @ inputs["v"][: t + 1]))
    assert_allclose(final["z"], torch.logsumexp(torched(inputs["k"]), dim=0).numpy(), rtol=1e-13)


def test_taylor_attention_is_attention_with_a_cut_exponential(rng: np.random.Generator):
    inputs, _, outputs, _ = case("taylor_attention", rng)
    scores = inputs["q"] @ inputs["k"].T
    weights = (1 + scores + scores**2 / 2) * causal(STEPS)
    assert_close(outputs["o"], weights @ inputs["v"] / weights.sum(axis=1, keepdims=True))


def test_taylor_attention_comes_near_softmax_for_small_scores(rng: np.random.Generator):
    """The error is of third order in the scores."""
    inputs, *_ = case("taylor_attention", rng)
    attention = torch.nn.functional.scaled_dot_product_attention
    errors = []
    for scale in (0.1, 0.05):
        near = {**inputs, "q": scale * inputs["q"]}
        q, k, v = (torched(near[name])[None] for name in "qkv")
        exact = attention(q, k, v, is_causal=True, scale=1.0)[0].numpy()
        errors.append(np.abs(from_zero("taylor_attention", near, {})[0]["o"] - exact).max())
    assert errors[0] < 1e-2
    assert errors[0] / errors[1] == pytest.approx(8, rel=0.3)


def test_flowformer_is_attention_with_conserved_flows(rng: np.random.Generator):
    """In quadratic form: each sink takes in, and each source gives out, a flow of one."""
    inputs, _, outputs, final = case("flowformer", rng)
    n, flow = np.arange(1, STEPS + 1), sigmoid(inputs["q"]) @ sigmoid(inputs["k"]).T
    to_sink, from_source = flow * causal(STEPS), flow * causal(STEPS).T
    incoming, outgoing = n / to_sink.sum(axis=1), n / from_source.sum(axis=0)
    sink = (to_sink @ outgoing) / n
    source = np.clip((incoming @ from_source) / n, -1, 1)
    competition = n * np.exp(source) / np.cumsum(np.exp(source))
    expected = (sigmoid(sink) * incoming / n)[:, None] * ((to_sink * competition) @ inputs["v"])
    assert_close(outputs["y"], expected)
    assert_close(final["E"], np.exp(source).sum())
    assert final["t"] == STEPS


# ---------------------------------------------------------------------------------------- identity plus low rank


def test_longhorn_exact_minimises_its_objective(rng: np.random.Generator):
    inputs, *_ = case("longhorn_exact", rng)
    S = random_state(rng)
    for t in range(STEPS):
        k, v, beta = inputs["k"][t], inputs["v"][t], sigmoid(inputs["dt"][t])
        _, after = load("longhorn_exact").reference({name: x[t : t + 1] for name, x in inputs.items()}, {}, {"S": S})
        best = np.linalg.solve(np.eye(len(k)) + beta * np.outer(k, k), S + beta * np.outer(k, v))
        assert_close(after["S"], best)
        S = after["S"]


def test_negative_deltanet_is_a_product_of_dense_transitions(rng: np.random.Generator):
    inputs, _ = random_case("negative_deltanet", STEPS, SIZES, rng)
    scaled = 2 * sigmoid(inputs["b"])[:, None] * inputs["k"]
    transitions = np.eye(SIZES["K"]) - outers(scaled, inputs["k"])
    assert np.linalg.eigvalsh(transitions).min() < -0.2
    check_transitions("negative_deltanet", inputs, transitions, outers(scaled, inputs["v"]), rng)


def test_negative_deltanet_tells_the_parity():
    """Reflections along one key: what is held changes its sign at every one, as no positive factor can do."""
    flips = np.array([1, 0, 1, 1, 0, 0, 1])
    ones, zeros = np.ones((len(flips), 1)), np.zeros((len(flips), 1))
    inputs = {"q": ones, "k": ones, "v": zeros, "b": np.where(flips, 40.0, -40.0)}
    outputs, _ = load("negative_deltanet").reference(inputs, {}, {"S": np.ones((1, 1))})
    assert_allclose(outputs["o"][:, 0], (-1.0) ** np.cumsum(flips), rtol=1e-12)


def test_kda_decays_before_it_erases(rng: np.random.Generator):
    inputs, _ = random_case("kda", STEPS, SIZES, rng)
    scaled = inputs["beta"][:, None] * inputs["k"]
    erase, decay = np.eye(SIZES["K"]) - outers(scaled, inputs["k"]), np.exp(inputs["gk"])
    transitions = erase * decay[:, None, :]
    assert np.abs(transitions - erase * decay[:, :, None]).max() > 0.05
    check_transitions("kda", inputs, transitions, outers(scaled, inputs["v"]), rng)


def test_kda_with_one_decay_for_all_channels_is_gated_deltanet(rng: np.random.Generator):
    inputs, _, outputs, final = case("gated_deltanet", rng)
    spread = np.repeat(inputs["g"][:, None], SIZES["K"], axis=1)
    found, state = from_zero("kda", {"gk": spread, **inputs}, {})
    assert_close(found["o"], outputs["o"])
    assert_close(state["S"], final["S"])


def test_rwkv7_is_a_product_of_dense_transitions(rng: np.random.Generator):
    inputs, _ = random_case("rwkv7", STEPS, SIZES, rng)
    transitions = outers(inputs["b"], inputs["a"])
    transitions += np.exp(inputs["w"])[:, :, None] * np.eye(SIZES["K"])
    check_transitions("rwkv7", inputs, transitions, outers(inputs["k"], inputs["v"]), rng, "r")


def test_rwkv7_reads_the_state_before_the_decay_where_kda_reads_it_after(rng: np.random.Generator):
    inputs, _, outputs, final = case("kda", rng)
    scaled = inputs["beta"][:, None] * inputs["k"]
    same = {"r": inputs["q"], "w": inputs["gk"], "k": scaled, "v": inputs["v"], "b": scaled}
    found, state = from_zero("rwkv7", {**same, "a": -np.exp(inputs["gk"]) * inputs["k"]}, {})
    assert_close(found["o"], outputs["o"])
    assert_close(state["S"], final["S"])
    other, _ = from_zero("rwkv7", {**same, "a": -inputs["k"]}, {})
    assert np.abs(other["o"] - outputs["o"]).max() > 0.05


def test_mom_is_a_gated_deltanet_on_the_tokens_of_each_memory(rng: np.random.Generator):
    inputs, _, outputs, final = case("mom", rng)
    chosen = inputs["w"] != 0
    assert_array_equal(chosen.sum(axis=1), 2)
    expected = np.zeros_like(outputs["o"])
    for m in range(SIZES["M"]):
        at = np.flatnonzero(chosen[:, m])
        own = {"q": inputs["q"][at], **{name: inputs[name][at, m] for name in ("k", "v", "g", "beta")}}
        found, state = from_zero("gated_deltanet", own, {})
        expected[at] += inputs["w"][at, m, None] * found["o"]
        assert_close(final["S"][m], state["S"])
    assert_close(outputs["o"], expected)


def test_mom_with_one_memory_is_gated_deltanet(rng: np.random.Generator):
    inputs, _, outputs, _ = case("gated_deltanet", rng)
    one = {name: x if name == "q" else x[:, None] for name, x in inputs.items()}
    start = {"S": np.zeros((1, SIZES["K"], SIZES["V"]))}
    found, _ = load("mom").reference({**one, "w": np.ones((STEPS, 1))}, {}, start)
    assert_close(found["o"], outputs["o"])
