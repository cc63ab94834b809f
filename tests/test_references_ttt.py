"""References of test-time training against torch's automatic differentiation of the inner loss, and other forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor
from torch.nn.functional import gelu, layer_norm

from tests.closed_forms import STEPS, case, causal, from_zero, torched
from tests.references import layers as inner
from tests.references import load, random_case
from tests.references.ports import SIZES, Array, Arrays

Loss = Callable[..., Tensor]


def close(got: Array, want: Array | list[Array]) -> None:
    assert_allclose(got, want, rtol=1e-10, atol=1e-11)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20250501)


def slopes(loss: Loss, weights: list[Tensor]) -> list[Tensor]:
    """The gradient of a loss at some weights, by torch."""
    leaves = [weight.detach().requires_grad_() for weight in weights]
    return list(torch.autograd.grad(loss(*leaves), leaves))


def steps(inputs: Arrays) -> list[dict[str, Tensor]]:
    return [{name: torched(x[t]) for name, x in inputs.items()} for t in range(len(inputs["q"]))]


def check(found: tuple[Arrays, Arrays], outputs: list[Tensor], weights: dict[str, Tensor]) -> None:
    """The output called `o`, and the final states of these names."""
    close(found[0]["o"], torch.stack(outputs).numpy())
    for name, weight in weights.items():
        close(found[1][name], weight.numpy())


# ------------------------------------------------------------------------------------------- layers, at any argument


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh"])
def test_gelus_and_their_slopes_are_those_of_torch(name: str):
    x = torch.tensor([-30.0, -3.0, -0.1, 0.0, 0.7, 5.0, 30.0], dtype=torch.float64, requires_grad=True)
    value = gelu(x, approximate="tanh" if name == "gelu_tanh" else "none")
    (slope,) = torch.autograd.grad(value.sum(), x)
    at = x.detach().numpy()
    assert_allclose(getattr(inner, name)(at), value.detach().numpy(), rtol=1e-13, atol=1e-14)
    assert_allclose(getattr(inner, f"{name}_slope")(at), slope.numpy(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("eps", [1e-6, 0.5])
@pytest.mark.parametrize("spread", [1.0, 1e-3, 0.0])
def test_layer_norm_and_its_gradient_are_those_of_torch(eps: float, spread: float, rng: np.random.Generator):
    x, g = spread * rng.standard_normal(5) + 2.0, rng.standard_normal(5)
    leaf = torched(x).requires_grad_()
    value = layer_norm(leaf, (5,), eps=eps)
    (slope,) = torch.autograd.grad(value, leaf, torched(g))
    assert_allclose(inner.layernorm(x, eps), value.detach().numpy(), rtol=1e-9, atol=1e-12)
    assert_allclose(inner.layernorm_backward(x, g, eps), slope.numpy(), rtol=1e-8, atol=1e-8)


# ---------------------------------------------------------------------------------------------- TTT, in mini-batches


def ttt_linear(x: Tensor, W: Tensor, c: Tensor, params: dict[str, Tensor]) -> Tensor:
    return x + layer_norm(x @ W + c, x.shape, params["ln_w"], params["ln_b"], eps=1e-6)


def ttt_mlp(x: Tensor, W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor, params: dict[str, Tensor]) -> Tensor:
    hidden = gelu(x @ W1 + b1, approximate="tanh") @ W2 + b2
    return x + layer_norm(hidden, x.shape, params["ln_w"], params["ln_b"], eps=1e-6)


TTT = {"ttt_linear": (ttt_linear, ["W", "c"]), "ttt_mlp": (ttt_mlp, ["W1", "b1", "W2", "b2"])}


@pytest.mark.parametrize("b", [1, 4, 16])
@pytest.mark.parametrize("name", TTT)
def test_ttt_follows_the_gradient_of_torch(name: str, b: int, rng: np.random.Generator):
    inputs, params = random_case(name, 2 * STEPS, SIZES, rng)
    module, (model, names) = load(name), TTT[name]
    found = module.reference(inputs, params, module.start(params, SIZES), b)
    fixed = {key: torched(value) for key, value in params.items()}
    weights = [torched(module.start(params, SIZES)[key]) for key in names]
    held, outputs = weights, []
    for t, x in enumerate(steps(inputs)):
        held = weights if t % b == 0 else held
        gradient = slopes(lambda *w, x=x: 0.5 * ((model(x["k"], *w, fixed) - x["v"]) ** 2).sum(), held)
        weights = [w - x["eta"] * g for w, g in zip(weights, gradient, strict=True)]
        outputs.append(model(x["q"], *weights, fixed))
    check(found, outputs, dict(zip(names, weights, strict=True)))


def test_ttt_linear_is_causal_attention_within_a_mini_batch(rng: np.random.Generator):
    """The dual form (section 2.5 of the paper), with the learning rate of each source token."""
    inputs, params = random_case("ttt_linear", 16, SIZES, rng)
    outputs, final = from_zero("ttt_linear", inputs, params)
    q, k, v, eta = inputs.values()
    hidden = [key @ params["W0"] + params["c0"] for key in k]
    errors = [
        key + params["ln_w"] * inner.layernorm(h, 1e-6) + params["ln_b"] - value
        for key, h, value in zip(k, hidden, v, strict=True)
    ]
    slope = np.array(
        [inner.layernorm_backward(h, params["ln_w"] * e, 1e-6) for h, e in zip(hidden, errors, strict=True)]
    )
    weights = causal(16) * eta[None, :]
    read = q @ params["W0"] + params["c0"] - (weights * (q @ k.T)) @ slope - weights @ slope
    expected = [x + params["ln_w"] * inner.layernorm(r, 1e-6) + params["ln_b"] for x, r in zip(q, read, strict=True)]
    close(outputs["o"], expected)
    close(final["W"], params["W0"] - (eta[:, None] * k).T @ slope)
    close(final["c"], params["c0"] - eta @ slope)


# -------------------------------------------------------------------------------------------------------------- Titans


def titans_linear(x: Tensor, M: Tensor) -> Tensor:
    return x @ M


def titans_mlp(x: Tensor, W1: Tensor, W2: Tensor) -> Tensor:
    return gelu(x @ W1) @ W2


@pytest.mark.parametrize(
    ("name", "model", "names", "b"),
    [
        ("titans_linear", titans_linear, {"M": "S"}, 1),
        ("titans_linear_chunked", titans_linear, {"M": "S"}, 16),
        ("titans_mlp", titans_mlp, {"W1": "S1", "W2": "S2"}, 1),
    ],
)
def test_titans_follows_the_gradient_of_torch(
    name: str, model: Loss, names: dict[str, str], b: int, rng: np.random.Generator
):
    inputs, params, *found = case(name, rng, 2 * STEPS)
    start = load(name).start(params, SIZES)
    weights, surprise = ([torched(start[key]) for key in keys] for keys in (names, names.values()))
    held, outputs = weights, []
    for t, x in enumerate(steps(inputs)):
        held = weights if t % b == 0 else held
        gradient = slopes(lambda *w, x=x: ((model(x["k"], *w) - x["v"]) ** 2).sum(), held)
        surprise = [x["eta"] * s - x["theta"] * g for s, g in zip(surprise, gradient, strict=True)]
        weights = [(1 - x["alpha"]) * w + s for w, s in zip(weights, surprise, strict=True)]
        outputs.append(model(x["q"], *weights))
    every = [*zip(names, weights, strict=True), *zip(names.values(), surprise, strict=True)]
    check((found[0], found[1]), outputs, dict(every))


def test_titans_without_momentum_and_forgetting_is_the_delta_rule(rng: np.random.Generator):
    inputs, _ = random_case("titans_linear", STEPS, SIZES, rng)
    inputs |= {"eta": np.zeros(STEPS), "alpha": np.zeros(STEPS)}
    outputs, final = from_zero("titans_linear", inputs, {})
    delta = {key: inputs[key] for key in "qkv"} | {"beta": 2 * inputs["theta"]}
    expected, state = from_zero("deltanet", delta, {})
    close(outputs["o"], expected["o"])
    close(final["M"], state["S"])


def test_titans_in_chunks_of_one_is_titans(rng: np.random.Generator):
    inputs, _, outputs, final = case("titans_linear", rng)
    module = load("titans_linear_chunked")
    chunked, state = module.reference(inputs, {}, module.start({}, SIZES), b=1)
    close(chunked["o"], outputs["o"])
    close(state["S"], final["S"])


# --------------------------------------------------------------------------------------------------------------- MIRAS


def test_moneta_follows_the_gradient_of_torch_at_the_normalised_memory(rng: np.random.Generator):
    inputs, params, *found = case("moneta", rng)

    def normalised(A: Tensor) -> Tensor:
        return A / torch.linalg.vector_norm(A, 4) ** 2

    A, outputs = torched(params["A0"]), []
    for x in steps(inputs):
        (slope,) = slopes(lambda W, x=x: ((x["k"] @ W - x["v"]).abs() ** 3).sum(), [normalised(A)])
        A = x["alpha"] * A - x["eta"] * slope
        outputs.append(x["q"] @ normalised(A))
    check((found[0], found[1]), outputs, {"A": A})


def test_yaad_follows_the_gradient_of_torch_on_both_branches(rng: np.random.Generator):
    inputs, _, *found = case("yaad", rng, 60)
    W, outputs, small = torch.zeros(SIZES["K"], SIZES["V"], dtype=torch.float64), [], []
    for x in steps(inputs):
        small.append(bool((x["k"] @ W - x["v"]).norm() <= x["delta"]))
        power, scale = (2, 1.0) if small[-1] else (1, x["delta"])
        (slope,) = slopes(lambda w, x=x, power=power: ((x["k"] @ w - x["v"]).abs() ** power).sum(), [W])
        W = x["alpha"] * W - x["eta"] * scale * slope
        outputs.append(x["q"] @ W)
    assert 5 < sum(small) < 55
    check((found[0], found[1]), outputs, {"W": W})


def test_memora_is_the_update_of_the_logarithm_of_its_weights(rng: np.random.Generator):
    """The form of the paper, whose state is the memory itself: softmax(alpha log W - eta times the gradient)."""
    inputs, _, *found = case("memora", rng)
    W, outputs = torch.full((SIZES["K"], SIZES["V"]), 1 / SIZES["K"], dtype=torch.float64), []
    for x in steps(inputs):
        (slope,) = slopes(lambda w, x=x: ((x["k"] @ w - x["v"]) ** 2).sum(), [W])
        W = torch.softmax(x["alpha"] * W.log() - x["eta"] * slope, 0)
        outputs.append(x["q"] @ W)
    check((found[0], found[1]), outputs, {})
    close(torch.softmax(torched(found[1]["L"]), 0).numpy(), W.numpy())


# ------------------------------------------------------------------------------------------------------------- Lattice


@pytest.mark.parametrize("name", ["lattice", "lattice_by_objective"])
def test_lattice_follows_the_gradient_of_torch_through_the_normalisation(name: str, rng: np.random.Generator):
    inputs, params, *found = case(name, rng)

    def slots(S: Tensor) -> Tensor:
        return torch.nn.functional.normalize(S, dim=1)

    S, outputs = torched(params["S0"]), []
    for x in steps(inputs):
        (slope,) = slopes(lambda w, x=x: 0.5 * ((x["v"] - x["k"] @ slots(w)) ** 2).sum(), [S])
        S = S - x["gamma"] * slope
        outputs.append(x["q"] @ slots(S))
    check((found[0], found[1]), outputs, {"S": S})


def test_the_slots_of_lattice_move_orthogonally_to_themselves(rng: np.random.Generator):
    inputs, params = random_case("lattice", STEPS, SIZES, rng)
    state = load("lattice").start(params, SIZES)

    def lengths(S: Array) -> Array:
        return np.linalg.norm(S, axis=1)

    for t in range(STEPS):
        before = state["S"]
        _, state = load("lattice").reference({key: x[t : t + 1] for key, x in inputs.items()}, params, state)
        step = state["S"] - before
        assert_allclose(np.sum(step * before, axis=1), 0, atol=1e-13)
        assert np.all(lengths(state["S"]) > lengths(before))


def test_lattice_by_objective_is_lattice(rng: np.random.Generator):
    inputs, params, outputs, final = case("lattice", rng)
    derived, state = from_zero("lattice_by_objective", inputs, params)
    close(derived["o"], outputs["o"])
    close(state["S"], final["S"])
