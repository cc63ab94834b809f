"""First and second derivatives in both modes, and torch.func's transformations."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from runtime_recurrences import SPECS, arguments, flat, methods
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from recc.runtime.call import call, step_call

CASES = [(name, method) for name in SPECS for method in methods(name)]


def problem(name: str, method: str, steps: int = 7) -> tuple[Callable[..., tuple[Tensor, ...]], list[Tensor]]:
    """Outputs and final states as a function of tensors, and these; tiles of three steps, so that there are several."""
    spec = replace(SPECS[name], tile=3)
    x, w, s = arguments(name, 2, steps, (1,))
    if name == "rnn":  # its states start at a param, which an initial state would leave without a gradient
        s = []

    def function(*tensors: Tensor) -> tuple[Tensor, ...]:
        inputs, params, states = tensors[: len(x)], tensors[len(x) : len(x) + len(w)], tensors[len(x) + len(w) :]
        outputs, final = call(spec, inputs, params, states or None, True, method=method)
        return (*flat(outputs), *flat(final))

    return function, x + w + s


@pytest.mark.parametrize(("name", "method"), CASES)
def test_gradcheck(name: str, method: str) -> None:
    function, tensors = problem(name, method)
    given = [t.requires_grad_() for t in tensors]
    assert gradcheck(function, given, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_gradgradcheck(name: str, method: str) -> None:
    function, tensors = problem(name, method)
    given = [t.requires_grad_() for t in tensors]
    assert gradgradcheck(function, given, fast_mode=True, check_fwd_over_rev=True, check_rev_over_rev=True)


@pytest.mark.parametrize(("name", "method"), [case for case in CASES if case[0] != "complex"])
def test_hessians_agree(name: str, method: str) -> None:
    function, tensors = problem(name, method, 4)

    def loss(*given: Tensor) -> Tensor:
        return torch.stack([result.square().sum() for result in function(*given)]).sum()

    func = torch.func
    expected = func.jacrev(func.jacrev(loss))(*tensors)
    assert expected.abs().max() > 1e-3 or name == "constant"
    assert_close(func.jacfwd(func.jacrev(loss))(*tensors), expected)
    assert_close(func.jacrev(func.jacfwd(loss))(*tensors), expected)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_vmap(name: str, method: str) -> None:
    function, tensors = problem(name, method)
    results = torch.func.vmap(function)(*(torch.stack([t, 0.5 * t]) for t in tensors))
    assert_close(tuple(r[1] for r in results), function(*(0.5 * t for t in tensors)))
    first_only = torch.func.vmap(function, in_dims=(0, *(None,) * (len(tensors) - 1)))
    results = first_only(torch.stack([tensors[0], 0.5 * tensors[0]]), *tensors[1:])
    assert_close(tuple(r[1] for r in results), function(0.5 * tensors[0], *tensors[1:]))


@pytest.mark.parametrize(("name", "method"), CASES)
def test_jvp_is_the_derivative_along_a_direction(name: str, method: str) -> None:
    function, tensors = problem(name, method)
    directions = tuple(torch.randn_like(t) for t in tensors)
    step = 1e-6
    tangents = torch.func.jvp(function, tuple(tensors), directions)[1]
    ahead = function(*(t + step * d for t, d in zip(tensors, directions, strict=True)))
    behind = function(*(t - step * d for t, d in zip(tensors, directions, strict=True)))
    for tangent, a, b in zip(tangents, ahead, behind, strict=True):
        assert_close(tangent, (a - b) / (2 * step), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", SPECS)
def test_per_sample_gradients(name: str) -> None:
    function, tensors = problem(name, "auto")
    given = torch.stack([tensors[0], tensors[0] + 0.1])

    def loss(x: Tensor) -> Tensor:
        return torch.stack([r.abs().square().sum() for r in function(x, *tensors[1:])]).sum()

    each = torch.func.vmap(torch.func.grad(loss))(given)
    assert_close(each, torch.stack([torch.func.grad(loss)(x) for x in given]))


@pytest.mark.parametrize("name", SPECS)
def test_the_derivative_of_a_step(name: str) -> None:
    x, w, s = arguments(name, 2, 1)
    count = len(x)

    def function(*tensors: Tensor) -> tuple[Tensor, ...]:
        params, states = tensors[count : count + len(w)], tensors[count + len(w) :]
        outputs, new = step_call(SPECS[name], states or None, tensors[:count], params)
        return (*flat(outputs), *flat(new))

    tensors = [t.requires_grad_() for t in [*(t[:, 0] for t in x), *w, *(s if name != "rnn" else [])]]
    assert gradcheck(function, [t.detach().requires_grad_() for t in tensors], check_forward_ad=True)


def test_only_what_is_asked_for() -> None:
    x, w, s = arguments("rnn", 2, 7)
    w[1].requires_grad_()
    output, final = call(SPECS["rnn"], x, w, tuple(s), True)
    (alone,) = torch.autograd.grad(final.sum(), w[1], retain_graph=True)
    (both,) = torch.autograd.grad((output[:, -1] + final).sum(), w[1])
    assert_close(both, 2 * alone)


def test_third_derivatives() -> None:
    (x,), w, s = arguments("rnn", 1, 5, ())
    u = torch.tensor(0.3, dtype=torch.float64)

    def along(u: Tensor) -> Tensor:
        return call(replace(SPECS["rnn"], tile=2), [x], [w[0] * u, *w[1:]], tuple(s))[0].sum()

    third = torch.func.grad(torch.func.grad(torch.func.grad(along)))(u)
    second = torch.func.grad(torch.func.grad(along))
    assert_close(third, (second(u + 1e-5) - second(u - 1e-5)) / 2e-5, rtol=1e-6, atol=1e-8)
