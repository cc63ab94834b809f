"""Inner training as the papers state it, where public code differs: brackets, scales, learning rates and chunks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import gelu, layer_norm
from torch.testing import assert_close

import recc

T, D, K, V = 24, 5, 4, 3
CLOSE = 1e-11


@cache
def compiled(name: str, method: str = "sequential", **constants: Any) -> Callable[..., Any]:
    return recc.load(name, method=method, **constants)


@pytest.fixture
def normal() -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(106)
    return lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)


def close(got: Any, want: Any) -> None:
    assert_close(got, want, rtol=CLOSE, atol=CLOSE)


def gate(x: Tensor) -> Tensor:
    return 0.1 + 0.8 * torch.sigmoid(x)


# ----------------------------------------------------------------------- the gradient of a layer norm, and its brackets

NORM = """
recurrence slope:
    input  x[D], w[D]
    state  n
    n = n + 1
    y = layernorm(x, 1e-6)
    output d[D] = grad(sum(w * y), x)
"""


def test_the_gradient_of_a_layer_norm_divides_all_of_its_terms(normal: Callable[..., Tensor]) -> None:
    x, w = normal(1, T, D).requires_grad_(), normal(1, T, D)
    found, _ = recc.load(NORM)(x.detach(), w)
    (wanted,) = torch.autograd.grad(layer_norm(x, (D,), eps=1e-6), x, w)
    close(found, wanted)
    y, deviation = layer_norm(x, (D,), eps=1e-6).detach(), (x.var(-1, correction=0) + 1e-6).sqrt()[..., None].detach()
    close(found, (D * w - w.sum(-1, keepdim=True) - y * (w * y).sum(-1, keepdim=True)) / (D * deviation))
    misplaced = D * w - w.sum(-1, keepdim=True) / (deviation * D)
    assert (found - misplaced).abs().max() > 0.1


# -------------------------------------------------------------------------------------------- queries are used as given


def one_token(normal: Callable[..., Tensor]) -> dict[str, Tensor]:
    """One step: a query, a key of length one and a value, with every gate that any of the memories takes."""
    scalars = {name: gate(normal(1, 1)) for name in ("beta", "eta", "theta", "alpha", "delta")}
    k = torch.nn.functional.normalize(normal(1, 1, K), dim=-1)
    return {
        "q": normal(1, 1, K),
        "k": k,
        "v": normal(1, 1, V),
        "g": -gate(normal(1, 1)),
        "gk": -gate(normal(1, 1, K)),
        **scalars,
    }


@pytest.mark.parametrize(
    ("name", "weight"),
    [
        ("gla", lambda x: 1.0),
        ("deltanet", lambda x: x["beta"][..., None]),
        ("gated_deltanet", lambda x: x["beta"][..., None]),
        ("titans_linear", lambda x: 2 * x["theta"][..., None]),
        ("titans_linear_chunked", lambda x: 2 * x["theta"][..., None]),
    ],
)
def test_a_memory_of_one_token_recalls_its_value_without_a_scale(
    name: str, weight: Callable[[dict[str, Tensor]], Any], normal: Callable[..., Tensor]
) -> None:
    """K = 4, so that a factor of K ** -0.5 would be one half."""
    x = one_token(normal)
    wanted = [var.name for var in recc.check(name).recurrences[0].inputs]
    o, _ = compiled(name)(*(x[key] for key in wanted))
    close(o, weight(x) * (x["q"] * x["k"]).sum(-1, keepdim=True) * x["v"])


def test_products_of_delta_rules_and_mlstm_scale_nothing(normal: Callable[..., Tensor]) -> None:
    x = one_token(normal)
    q, k, v, beta = x["q"], x["k"], x["v"], x["beta"]
    score = (q * k).sum(-1, keepdim=True)
    product, _ = compiled("deltaproduct", n=1)(q, k[:, :, None], v[:, :, None], beta[:, :, None], x["g"])
    close(product, beta[..., None] * score * v)
    i = normal(1, 1)
    memory, _ = compiled("mlstm")(q, k, v, i, normal(1, 1))
    close(memory, score * v / torch.maximum(score.abs(), torch.exp(-i)[..., None]))


# ----------------------------------------------------------------------- a token's learning rate is the source token's


def ttt_arguments(normal: Callable[..., Tensor], steps: int = T) -> tuple[list[Tensor], list[Tensor]]:
    inputs = [normal(1, steps, D), normal(1, steps, D), normal(1, steps, D), 0.3 * gate(normal(1, steps))]
    return inputs, [1 + 0.1 * normal(D), 0.1 * normal(D), 0.5 * normal(D, D), 0.1 * normal(D)]


def dual_form(inputs: list[Tensor], params: list[Tensor], weights: Tensor) -> Tensor:
    """One mini-batch as causal attention, with `weights[t, s]` the learning rate with which t sees s."""
    (q, k, v, _), (ln_w, ln_b, W0, c0) = (x[0] for x in inputs), params
    hidden = (k @ W0 + c0).requires_grad_()
    loss = 0.5 * ((k + layer_norm(hidden, (D,), ln_w, ln_b, eps=1e-6) - v) ** 2).sum()
    (slope,) = torch.autograd.grad(loss, hidden)
    read = q @ W0 + c0 - (weights * (q @ k.T + 1)) @ slope
    return (q + layer_norm(read, (D,), ln_w, ln_b, eps=1e-6))[None]


def test_a_learning_rate_belongs_to_the_token_that_is_learnt(normal: Callable[..., Tensor]) -> None:
    inputs, params = ttt_arguments(normal, 16)
    o, _ = compiled("ttt_linear")(*inputs, *params)
    causal, eta = torch.ones(16, 16, dtype=torch.float64).tril(), inputs[3][0]
    close(o, dual_form(inputs, params, causal * eta[None, :]))
    assert (o - dual_form(inputs, params, causal * eta[:, None])).abs().max() > 0.01


@pytest.mark.parametrize("name", ["ttt_linear", "titans_linear_chunked"])
def test_every_learning_rate_reaches_the_final_state(name: str, normal: Callable[..., Tensor]) -> None:
    """Not the last one of the mini-batch alone."""
    rate = (0.3 * gate(normal(1, 16))).requires_grad_()
    if name == "ttt_linear":
        inputs, params = ttt_arguments(normal, 16)
        _, final = compiled(name)(*inputs[:3], rate, *params, output_final_state=True)
    else:
        keys = [normal(1, 16, K), normal(1, 16, K), normal(1, 16, V)]
        _, final = compiled(name)(*keys, gate(normal(1, 16)), rate, gate(normal(1, 16)), output_final_state=True)
    (slope,) = torch.autograd.grad((final[0] ** 2).sum(), rate)
    assert (slope.abs() > 1e-6).all()


# ------------------------------------------------------------------------------------- the chunk is part of the meaning


def titans_arguments(normal: Callable[..., Tensor], steps: int = T) -> list[Tensor]:
    keys = [normal(2, steps, K), 0.5 * normal(2, steps, K), normal(2, steps, V)]
    return [*keys, gate(normal(2, steps)), 0.2 * gate(normal(2, steps)), 0.2 * gate(normal(2, steps))]


@pytest.mark.parametrize("b", [1, 3, 16])
def test_methods_agree_at_equal_chunks(b: int, normal: Callable[..., Tensor]) -> None:
    inputs = [x.requires_grad_() for x in titans_arguments(normal)]
    results = []
    for method in ("sequential", "scan"):
        o, final = compiled("titans_linear_chunked", method, b=b)(*inputs, output_final_state=True)
        results.append((o, *final, *torch.autograd.grad(o.sum() + final[0].sum(), inputs)))
    close(results[1], results[0])


@pytest.mark.parametrize("b", [2, 3, 16])
def test_another_chunk_is_another_function(b: int, normal: Callable[..., Tensor]) -> None:
    inputs = titans_arguments(normal)
    exact, _ = compiled("titans_linear")(*inputs)
    one, _ = compiled("titans_linear_chunked", b=1)(*inputs)
    chunked, _ = compiled("titans_linear_chunked", b=b)(*inputs)
    close(one, exact)
    close(chunked[:, :1], exact[:, :1])
    assert (chunked - exact).abs().max() > 0.01


@pytest.mark.parametrize("name", ["ttt_linear", "ttt_mlp"])
def test_another_mini_batch_is_another_function(name: str, normal: Callable[..., Tensor]) -> None:
    inputs, params = ttt_arguments(normal)
    if name == "ttt_mlp":
        params = [*params[:2], 0.5 * normal(D, 4), normal(4), 0.5 * normal(4, D), normal(D)]
    four, _ = compiled(name, b=4)(*inputs, *params)
    eight, _ = compiled(name, b=8)(*inputs, *params)
    close(four[:, :4], eight[:, :4])
    assert (four - eight)[:, 4:].abs().max() > 1e-3


@pytest.mark.parametrize("split", [1, 7, 16, 23])
@pytest.mark.parametrize("method", ["sequential", "scan"])
def test_a_chunk_runs_on_from_one_call_to_the_next(method: str, split: int, normal: Callable[..., Tensor]) -> None:
    inputs, f = titans_arguments(normal), compiled("titans_linear_chunked", method, b=5)
    whole, last = f(*inputs, output_final_state=True)
    first, state = f(*(x[:, :split] for x in inputs), output_final_state=True)
    second, final = f(*(x[:, split:] for x in inputs), initial_state=state, output_final_state=True)
    close(torch.cat([first, second], 1), whole)
    close(tuple(final), tuple(last))


def test_every_layer_learns_from_the_weights_before_the_token(normal: Callable[..., Tensor]) -> None:
    """Titans' two gradients are taken before either layer moves, of the exact gelu."""
    q, k, v = normal(1, 1, K), normal(1, 1, K), normal(1, 1, V)
    eta, theta, alpha = (gate(normal(1, 1)) for _ in range(3))
    W1, W2 = normal(K, 6).requires_grad_(), normal(6, V).requires_grad_()
    _, final = compiled("titans_mlp")(q, k, v, eta, theta, alpha, W1.detach(), W2.detach(), output_final_state=True)
    loss = ((gelu(k[0, 0] @ W1) @ W2 - v[0, 0]) ** 2).sum()
    for place, (weight, slope) in enumerate(zip((W1, W2), torch.autograd.grad(loss, (W1, W2)), strict=True)):
        close(final[place][0], (1 - alpha) * weight - theta * slope)
