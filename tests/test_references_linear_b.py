"""References of dense, time-invariant, probabilistic and cascaded recurrences against filters, paths and Gaussians."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import block_diag, expm
from scipy.signal import cont2discrete, dlsim, lfilter
from scipy.special import logsumexp

from tests.closed_forms import STEPS, case, causal, decay_products, dense_products, from_zero
from tests.references import load, random_case
from tests.references.ports import SIZES, Array, Arrays

assert_close = partial(assert_allclose, rtol=1e-10, atol=1e-12)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240815)


# --------------------------------------------------------------------------------- dense and block-diagonal matrices


def steps_of(transitions: Array, writes: Array, start: Array) -> Array:
    """Vector states `(T, N)` after transitions `(T, N, N)` and writes `(T, N)`."""
    return dense_products(transitions, writes[..., None], start[:, None])[..., 0]


def test_warp_is_a_power_series_in_its_matrix(rng: np.random.Generator):
    inputs, params, outputs, final = case("warp", rng)
    changes = np.diff(inputs["x"], axis=0, prepend=0)
    A = np.broadcast_to(params["A"], (STEPS, *params["A"].shape))
    theta = steps_of(A, changes @ params["B"].T, np.zeros(SIZES["P"]))
    assert_close(outputs["y"], theta @ params["C"].T)
    assert_close(final["theta"], theta[-1])
    assert_close(final["prev_x"], inputs["x"][-1])


def test_slice_dense_is_a_product_of_dense_transitions(rng: np.random.Generator):
    inputs, params, outputs, _ = case("slice_dense", rng)
    N = SIZES["N"]
    transitions = np.eye(N) + np.einsum("td,dij->tij", inputs["w"], params["A"])
    assert_close(outputs["h"], steps_of(transitions, np.zeros((STEPS, N)), np.ones(N)))


def test_slice_dense_follows_a_straight_path_to_the_matrix_exponential(rng: np.random.Generator):
    _, params = random_case("slice_dense", 1, SIZES, rng)
    w, steps = 0.3 * rng.standard_normal(SIZES["D"]), 20_000
    _, final = from_zero("slice_dense", {"w": np.broadcast_to(w / steps, (steps, len(w)))}, params)
    assert_allclose(final["h"], expm(np.einsum("d,dij->ij", w, params["A"])) @ np.ones(SIZES["N"]), rtol=1e-4)


def test_slice_block_is_slice_dense_on_a_block_diagonal_matrix(rng: np.random.Generator):
    inputs, _, outputs, _ = case("slice_block", rng)
    N, R = SIZES["N"], SIZES["R"]
    whole = np.array([block_diag(*blocks) for blocks in inputs["A"]])
    for t in range(STEPS):
        path = {"w": np.eye(STEPS)[: t + 1]}
        _, final = load("slice_dense").reference(path, {"A": whole}, {"h": np.ones(N * R)})
        assert_close(outputs["h"][t].reshape(-1), final["h"])


def test_block_lrnn_is_a_product_of_normalised_blocks(rng: np.random.Generator):
    inputs, _, outputs, _ = case("block_lrnn", rng)
    A, v = inputs["A"], inputs["v"]
    M = A - A.mean(axis=2, keepdims=True)
    M = M / np.linalg.norm(M, ord=1.2, axis=2).max(axis=2)[..., None, None]
    assert_allclose(M.sum(axis=2), 0, atol=1e-14)
    assert_close((np.abs(M) ** 1.2).sum(axis=2).max(axis=2), 1)
    for n in range(SIZES["N"]):
        assert_close(outputs["h"][:, n], steps_of(M[:, n], v[:, n], np.zeros(SIZES["R"])))


def test_bilinear_rnn_is_a_product_of_matrices_that_the_input_mixes(rng: np.random.Generator):
    inputs, params, outputs, _ = case("bilinear_rnn", rng)
    N = SIZES["N"]
    transitions = np.einsum("ijd,td->tij", params["W"], inputs["x"])
    assert_close(outputs["h"], steps_of(transitions, np.zeros((STEPS, N)), np.ones(N)))


# -------------------------------------------------------------------------------------------- time-invariant systems


def discretise(A: Array, B: Array, C: Array, dt: float, method: str) -> tuple[Array, Array, Array]:
    result: Any = cont2discrete((A, B, C, np.zeros((len(C), 1))), dt, method=method)
    return result[:3]


def simulate(A: Array, B: Array, C: Array, D: Array, u: Array) -> Array:
    """Outputs `(T, channels)` of a system that reads its state after each step; scipy's reads the state before."""
    result: Any = dlsim((A, B, C @ A, C @ B + D, 1.0), u)
    return result[1]


def test_lssl_is_the_bilinear_discretisation_of_scipy(rng: np.random.Generator):
    inputs, params, outputs, _ = case("lssl", rng, 60)
    A, B, C = params["A"], params["B"][:, None], params["C"][None]
    assert np.all(np.linalg.eigvals(A).real < 0)
    A_bar, B_bar, _ = discretise(A, B, C, 0.1, "bilinear")
    assert_close(outputs["y"], simulate(A_bar, B_bar, C, params["D"], inputs["u"])[:, 0])


def legendre_memory(order: int, window: float) -> tuple[Array, Array]:
    """The continuous-time matrices of the paper, equation (2), over the window."""
    i, j = np.meshgrid(np.arange(order), np.arange(order), indexing="ij")
    A = np.where(i < j, -1.0, (-1.0) ** (i - j + 1)) * (2 * i + 1) / window
    return A, ((-1.0) ** np.arange(order) * (2 * np.arange(order) + 1) / window)[:, None]


def test_lmu_is_a_linear_system_and_holds_a_window_of_its_input():
    order, window = 8, 100
    A, B = legendre_memory(order, window)
    A_bar, B_bar, everything = discretise(A, B, np.eye(order), 1.0, "zoh")
    u = np.sin(np.arange(400) / 25)
    params = {"A": A_bar, "B": B_bar[:, 0]}
    outputs, final = load("lmu").reference({"u": u}, params, {"m": np.zeros(order)})
    assert_close(outputs["m"], simulate(A_bar, B_bar, everything, np.zeros((order, 1)), u), atol=1e-10)
    for age in (0.0, 0.3, 0.7, 1.0):
        legendre = np.polynomial.legendre.legval(2 * age - 1, np.eye(order))
        recalled = final["m"] @ legendre
        assert abs(recalled - np.sin((399 - age * window) / 25)) < 0.05


def hippo_legs_matrices(order: int) -> tuple[Array, Array]:
    n, k = np.meshgrid(np.arange(order), np.arange(order), indexing="ij")
    A = np.where(n > k, np.sqrt((2 * n + 1.0) * (2 * k + 1)), np.where(n == k, n + 1.0, 0.0))
    return A, np.sqrt(2 * np.arange(order) + 1.0)


def test_hippo_legs_keeps_the_running_mean_and_forgets_its_start(rng: np.random.Generator):
    order, f = 4, rng.standard_normal(STEPS)
    A, B = hippo_legs_matrices(order)
    reference = load("hippo_legs").reference
    zero = {"c": np.zeros(order), "t": np.array(0.0)}
    outputs, _ = reference({"f": f}, {"A": A, "B": B}, zero)
    assert_close(outputs["c"][:, 0], np.cumsum(f) / np.arange(1, STEPS + 1))
    # step k removes what lies along the eigenvector of A to its eigenvalue k
    other, _ = reference({"f": f}, {"A": A, "B": B}, {"c": rng.standard_normal(order), "t": np.array(0.0)})
    assert np.max(np.abs(other["c"][order - 2] - outputs["c"][order - 2])) > 1e-3
    assert_allclose(other["c"][order - 1 :], outputs["c"][order - 1 :], atol=1e-10)


def test_hippo_legs_transitions_share_their_eigenvectors(rng: np.random.Generator):
    inputs, params, outputs, _ = case("hippo_legs", rng)
    values, vectors = np.linalg.eig(params["A"])
    writes = np.linalg.inv(vectors) @ params["B"]
    k = np.arange(1, STEPS + 1)
    decays = decay_products(1 - values / k[:, None])
    modes = np.einsum("tsn,s,n->tn", decays, inputs["f"] / k, writes)
    assert_close(outputs["c"], (modes @ vectors.T).real)


def test_laughing_hyena_is_a_convolution_with_its_modal_filter(rng: np.random.Generator):
    inputs, params, outputs, final = case("laughing_hyena", rng)
    powers = params["lam"] ** np.arange(STEPS - 1)[:, None]
    taps = np.concatenate([[params["h0"]], (powers @ params["R"]).real])
    assert_close(outputs["y"], np.convolve(inputs["u"], taps)[:STEPS])
    for n, pole in enumerate(params["lam"]):
        assert_close(final["x"][n], lfilter([1.0], [1.0, -pole], inputs["u"].astype(complex))[-1])


# ---------------------------------------------------------------------------------------------- hidden Markov models


Reduction = Callable[[list[float]], float]


def paths(inputs: Arrays, params: Arrays, T: int) -> dict[tuple[int, ...], float]:
    """The log probability of every path of states, the one before the first observation included."""
    e, N = inputs["e"], len(params["log_pi"])
    scores = {}
    for path in product(range(N), repeat=T + 1):
        score = params["log_pi"][path[0]]
        for t in range(T):
            score += params["log_A"][path[t], path[t + 1]] + e[t, path[t + 1]]
        scores[path] = score
    return scores


@pytest.mark.parametrize(("name", "reduce"), [("hmm_forward", logsumexp), ("viterbi", max)])
def test_scores_of_hidden_markov_models_are_those_of_all_paths(name: str, reduce: Reduction, rng: np.random.Generator):
    T, sizes = 5, {**SIZES, "N": 3}
    inputs, params = random_case(name, T, sizes, rng)
    assert np.isneginf(params["log_A"]).any()
    assert_close(logsumexp(params["log_A"], axis=1), 0, atol=1e-14)
    outputs, _ = load(name).reference(inputs, params, load(name).start(params, sizes))
    vector, total = outputs.values()
    for steps in range(1, T + 1):
        scores = paths(inputs, params, steps)
        assert_close(total[steps - 1], reduce(list(scores.values())))
        for last in range(3):
            assert_close(vector[steps - 1, last], reduce([s for path, s in scores.items() if path[-1] == last]))


# --------------------------------------------------------------------------------------------------- Kalman filters


def test_kalman_scalar_is_gaussian_conditioning(rng: np.random.Generator):
    inputs, params, outputs, _ = case("kalman_scalar", rng, 6)
    a, c, q, r = (params[key] for key in "acqr")
    T, y = 6, inputs["y"]
    # the joint Gaussian of all states: x_t = a^(t+1) x_start + sum of a^(t-s) noise_s
    loads = decay_products(np.full(T, a))
    cov = a ** (np.arange(T)[:, None] + np.arange(T) + 2.0) + q * loads @ loads.T
    for t in range(T):
        seen = c**2 * cov[: t + 1, : t + 1] + r * np.eye(t + 1)
        cross = c * cov[t, : t + 1]
        assert_close(outputs["mean"][t], cross @ np.linalg.solve(seen, y[: t + 1]))
        assert_close(outputs["var"][t], cov[t, t] - cross @ np.linalg.solve(seen, cross))


def test_kalman_is_the_textbook_filter_with_full_matrices(rng: np.random.Generator):
    inputs, params, outputs, final = case("kalman", rng)
    D, sw2, s2 = SIZES["D"], params["sw2"], params["s2"]
    m, P = np.zeros(D), sw2 * np.eye(D)
    for t in range(STEPS):
        F, H = inputs["gamma"][t] * np.eye(D), inputs["phi"][t][None]
        m, P = F @ m, F @ P @ F.T + (1 - inputs["gamma"][t] ** 2) * sw2 * np.eye(D)
        assert_close(outputs["pred"][t], (H @ m)[0])
        K = P @ H.T @ np.linalg.inv(H @ P @ H.T + s2)
        m = m + K @ (inputs["y"][t] - H @ m)
        keep = np.eye(D) - K @ H
        P = keep @ P @ keep.T + s2 * K @ K.T  # Joseph's form
        assert_close(outputs["mean"][t], m)
    assert_close(final["P"], P)


def test_kalman_without_drift_is_ridge_regression(rng: np.random.Generator):
    inputs, params = random_case("kalman", STEPS, SIZES, rng)
    inputs["gamma"] = np.ones(STEPS)
    outputs, final = from_zero("kalman", inputs, params)
    phi, precision = inputs["phi"], np.eye(SIZES["D"]) / params["sw2"]
    for t in range(STEPS):
        precision = precision + np.outer(phi[t], phi[t]) / params["s2"]
        weights = np.linalg.solve(precision, phi[: t + 1].T @ inputs["y"][: t + 1] / params["s2"])
        assert_close(outputs["mean"][t], weights)
    assert_close(final["P"], np.linalg.inv(precision))


# ---------------------------------------------------------------------------------- levels, resets, cascades, pLSTM


def level_of(t: int, s: int, levels: int) -> int:
    """The level that holds token s at step t: of the highest bit of t that s does not share, as the paper says it."""
    return min((t ^ s).bit_length(), levels - 1)


@pytest.mark.parametrize("T", [STEPS, 40])
def test_loglinear_mamba2_is_attention_with_a_mask_of_levels(T: int, rng: np.random.Generator):
    inputs, _, outputs, _ = case("loglinear_mamba2", rng, T)
    mask = decay_products(np.exp(inputs["g"]))
    for t, s in product(range(T), range(T)):
        mask[t, s] *= inputs["lam"][t, level_of(t, s, 5)] if s <= t else 0.0
    assert_close(outputs["o"], (inputs["q"] @ inputs["k"].T * mask) @ inputs["v"])


@pytest.mark.parametrize("T", [STEPS, 40])
def test_loglinear_gdn_weighs_the_writes_of_gated_deltanet_by_level(T: int, rng: np.random.Generator):
    inputs, _, outputs, final = case("loglinear_gdn", rng, T)
    k, K = inputs["k"], SIZES["K"]
    beta, alpha = inputs["beta"][:, None, None], np.exp(inputs["g"])[:, None, None]
    transitions = alpha * (np.eye(K) - beta * k[:, :, None] * k[:, None, :])
    writes = beta * k[:, :, None] * inputs["v"][:, None, :]
    o = np.zeros((T, SIZES["V"]))
    for t in range(T):
        carried = np.eye(K)
        for s in range(t, -1, -1):
            o[t] += inputs["lam"][t, level_of(t, s, 5)] * (inputs["q"][t] @ carried @ writes[s])
            carried = carried @ transitions[s]
    assert_close(outputs["o"], o)
    _, plain = from_zero("gated_deltanet", {key: inputs[key] for key in ("q", "k", "v", "g", "beta")}, {})
    assert_close(final["S"].sum(axis=0), plain["S"])


def test_rat_intra_is_a_recurrence_on_every_chunk_alone(rng: np.random.Generator):
    inputs, _, outputs, _ = case("rat_intra", rng)
    for first in range(0, STEPS, 4):
        gate = 1 / (1 + np.exp(-inputs["g"][first : first + 4]))
        for key in "kv":
            written = (1 - gate) * inputs[key][first : first + 4]
            expected = np.einsum("tsd,sd->td", decay_products(gate), written)
            assert_close(outputs[f"{key}_out"][first : first + 4], expected)


def test_hla2_is_a_sum_over_ordered_pairs(rng: np.random.Generator):
    inputs, params, outputs, _ = case("hla2", rng)
    q, k, v, gamma = inputs["q"], inputs["k"], inputs["v"], params["gamma"]
    o = np.zeros_like(v)
    for t in range(STEPS):
        for j in range(t + 1):
            for i in range(j + 1):
                o[t] += gamma ** (2 * t - i - j) * (q[t] @ k[i]) * (k[i] @ q[j]) * v[j]
    assert_close(outputs["o"], o)


def test_signature2_is_the_iterated_integral_of_the_path(rng: np.random.Generator):
    inputs, _, outputs, _ = case("signature2", rng)
    corners = np.concatenate([np.zeros((1, SIZES["D"])), np.cumsum(inputs["dx"], axis=0)])
    finer = 400
    times = np.arange(STEPS * finer + 1) / finer
    path = np.stack([np.interp(times, np.arange(STEPS + 1), column) for column in corners.T], axis=1)
    integral = np.einsum("ti,tj->ij", path[:-1], np.diff(path, axis=0))  # of X_i dX_j, by left sums
    assert_close(outputs["level1"][-1], path[-1])
    assert_allclose(outputs["level2"][-1], integral, atol=20 / finer)
    level1, level2 = outputs["level1"], outputs["level2"]
    assert_close(level2 + level2.swapaxes(1, 2), level1[:, :, None] * level1[:, None, :])


def test_signature2_does_not_depend_on_how_the_path_is_cut(rng: np.random.Generator):
    inputs, _, _, final = case("signature2", rng)
    _, finer = from_zero("signature2", {"dx": np.repeat(inputs["dx"] / 3, 3, axis=0)}, {})
    assert_close(finer["S2"], final["S2"])


def test_plstm_1d_is_attention_to_earlier_tokens_and_a_direct_path(rng: np.random.Generator):
    inputs, _, outputs, _ = case("plstm_1d", rng)
    assert inputs["transition"].min() < 0
    carried = np.zeros((STEPS, STEPS))
    # what token s writes reaches token t through the transitions of the tokens between them
    carried[1:, :-1] = decay_products(inputs["transition"])[:-1, :-1] * causal(STEPS - 1)
    weights = inputs["mark"][:, None] * carried * inputs["source"] + np.diag(inputs["direct"])
    assert_close(outputs["o"], (inputs["q"] @ inputs["k"].T * weights) @ inputs["v"])
