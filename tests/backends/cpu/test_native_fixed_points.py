"""Fixed points in native code: values, gradients and how rounds end, as the interpreter and torch have them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import recc
from recc.backends.cpu.module import print_native
from recc.compiler import front
from recc.ir import evaluation
from recc.passes.adjoint import adjoint
from recc.passes.guard import guard
from recc.passes.independent import independent_sizes
from recc.passes.lower_kernel_rounds import UNITS
from recc.runtime import fixed_point
from recc.verify import verify
from tests.differential.test_fixed_points import DIVERGING, DRIVEN, IMPLICIT, tensors
from tests.passes.test_implicit import CONTRACTIONS


@pytest.mark.parametrize("name", sorted(set(CONTRACTIONS) - {"objective of a solution"}))
def test_every_kind_of_step(name: str) -> None:
    """Values and gradients of sequences, packed ones, reversed ones and single steps, in both precisions."""
    native = [r for r in verify(f"recurrence r:{CONTRACTIONS[name]}", lengths=(0, 1, 5)) if r.backend == "cpu"]
    assert {result.dtype for result in native} == {"float64", "float32"}
    for result in native:
        assert result.passed, result


SYSTEM = """
    input  x[N]: complex, A[N, N]: complex
    param  R[N, N]
    state  h[N]: complex
    for y in fixpoint(h, tol=1e-13, max=400):
        z = solve(0.1 * tanh(R) * real(sum(y)) / (1 + sum(abs(y))) + 9 * eye(N), real(y))
        y = 0.3 * solve(A + (9 + 0.1 / (1 + sum(abs(y)))) * eye(N), x + 0.1 * y + h) + z
    h = y
    output h
"""


def test_systems_of_equations_inside() -> None:
    for result in verify(f"recurrence r:{SYSTEM}", lengths=(0, 1, 5)):
        assert result.passed, result


@pytest.mark.parametrize("text", [IMPLICIT, DRIVEN], ids=["of the state", "of inputs alone"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_as_torch_has_it(text: str, dtype: torch.dtype) -> None:
    function = recc.load(text)
    x, a, W, _ = (t.to(dtype) for t in tensors(rows=5, steps=19, size=17))
    given = [x, a, W] if text is IMPLICIT else [x, torch.sigmoid(a[..., 0])]
    given = [t.requires_grad_() for t in given]
    found: list[tuple[Tensor, ...]] = []
    for backend in ("cpu", "torch"):
        out = function(*given, backend=backend, reverse=True)[0]
        found.append((out, *torch.autograd.grad(out.float().square().sum(), given)))
    room = 64 * torch.finfo(dtype).eps
    for one, other in zip(*found, strict=True):
        assert_close(one, other, rtol=room, atol=room * float(other.detach().abs().max()))


def test_rows_end_by_themselves() -> None:
    """What is beside a row changes no bit of it, and neither does what comes after a step."""
    function = recc.load(IMPLICIT, backend="cpu")
    x, a, W, h = tensors(rows=3, steps=8)
    a[1] *= 100  # the slowest
    whole, final = function(x, a, W, initial_state=h, output_final_state=True)
    alone = [function(x[row, None], a[row, None], W, initial_state=h[row, None])[0] for row in range(3)]
    assert torch.equal(whole, torch.cat(alone))
    half = function(x[:, :3], a[:, :3], W, initial_state=h, output_final_state=True)
    rest = function(x[:, 3:], a[:, 3:], W, initial_state=half[1], output_final_state=True)
    assert torch.equal(whole, torch.cat([half[0], rest[0]], 1)) and torch.equal(final, rest[1])
    state = h
    for t in range(3):
        out, state = function.step(state, x[:, t], a[:, t], W)
        assert torch.equal(out, whole[:, t])


def test_nan_stays_in_its_row() -> None:
    function = recc.load(IMPLICIT.replace("implicit", "implicit_nan"), backend="cpu")
    x, a, W, _ = tensors()
    clean = function(x, a, W)[0]
    x[1] = torch.nan
    with pytest.warns(RuntimeWarning, match=r"`y` of implicit_nan did not converge in 500 rounds: .* by nan"):
        found = function(x, a, W)[0]
    assert torch.equal(found[0], clean[0]) and found[1].isnan().all()


def test_rounds_are_those_of_torch() -> None:
    """To the last bit where arithmetic is exact: after the first change within the tolerance, or the last round."""
    body = "    input  x\n    state  h\n    for y in fixpoint(h, tol={tol}, max={most}):\n        y = 0.5 * y + x\n"
    for number, (tol, most, rounds) in enumerate(((1e-1, 50, 3), (1e-3, 50, 10), (1e-3, 7, 7))):
        text = f"recurrence halves_{number}:\n{body.format(tol=tol, most=most)}    h = y\n    output h\n"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = recc.load(text)(torch.ones(1, 1, dtype=torch.float64), backend="cpu")[0]
        assert found.item() == 2 - 2.0 ** (1 - rounds)


def test_nothing_below_the_rounding_is_waited_for() -> None:
    """A tolerance of 1e-13 is never met in float32, and would be reported."""
    function = recc.load(IMPLICIT.replace("implicit", "implicit_short"), backend="cpu")
    given = [t.float().requires_grad_() for t in tensors()[:3]]
    function(*given)[0].square().sum().backward()


def test_all_wait_for_the_same_rounding() -> None:
    assert UNITS == evaluation.ROUNDING == fixed_point.ROUNDING


# --- what is reported ---


def diverging(most: int, name: str) -> Callable[..., Any]:
    return recc.load(DIVERGING.format(most=most).replace("diverging", name), backend="cpu")


def test_not_converging_is_reported_once() -> None:
    function = diverging(11, "far")
    x = torch.tensor([[0.25, 0.75, 0.75], [0.25, 0.25, 0.25]], dtype=torch.float64)
    with pytest.warns(RuntimeWarning) as caught:
        found = function(x)[0]
    message = "`y` of far did not converge in 11 rounds: the last one changed it by "
    assert [str(each.message)[: len(message)] for each in caught] == [message]
    assert found.isfinite().all()
    assert_close(found[0, 0].item(), 2.0, rtol=1e-3, atol=0.0)
    function(x)
    function.step(torch.ones(1, dtype=torch.float64), x[:1, 1])


def test_a_single_step_is_reported() -> None:
    function = diverging(12, "farther")
    state, x = torch.ones(2, dtype=torch.float64), torch.tensor([0.25, 0.75], dtype=torch.float64)
    with pytest.warns(RuntimeWarning, match="`y` of farther did not converge in 12 rounds"):
        function.step(state, x)
    ready = diverging(13, "farthest")
    ready.step(state, torch.zeros_like(x))
    with pytest.warns(RuntimeWarning, match="`y` of farthest did not converge in 13 rounds"):
        ready.step(state, x)


def test_a_backward_pass_is_reported_by_itself() -> None:
    function = diverging(14, "back")
    x = torch.tensor([[0.75]], dtype=torch.float64, requires_grad=True)
    with pytest.warns(RuntimeWarning, match="`y` of back did not converge in 14 rounds"):
        y = function(x)[0]
    with pytest.warns(RuntimeWarning, match="`adjoint_y` of back did not converge in 28 rounds"):
        y.sum().backward()


def test_small_cotangents_are_no_zero() -> None:
    """The equation of a gradient ends by its own size."""
    given = [t.requires_grad_() for t in tensors(rows=1, steps=3)[:3]]
    out = recc.load(IMPLICIT, backend="cpu")(*given)[0].square().sum()
    whole = torch.autograd.grad(out, given, retain_graph=True)
    small = torch.autograd.grad(out * 2.0**-100, given)
    assert all(torch.equal(one * 2.0**-100, other) for one, other in zip(whole, small, strict=True))


# --- where it is cut, and what it costs ---


def test_no_piece_of_a_fixed_point_ends_before_the_others() -> None:
    """The test of the end looks at all places, so sequences are not cut along any axis of a fixed point."""
    affine = front(f"recurrence r:{CONTRACTIONS['affine']}").recurrences[0]
    assert independent_sizes(affine) == ()
    text = DRIVEN.replace("state  h[D]", "state  h[D], S[D, V]").replace("input  x[D]", "input  x[D], v[V]")
    beside = front(text.replace("output h", "S = a * S + outer(y, v)\n    output h, o[V] = y @ S")).recurrences[0]
    assert independent_sizes(beside) == ("V",)


def test_a_long_row_that_could_be_cut() -> None:
    function = recc.load(DRIVEN)
    x, a = torch.randn(1, 600, 256, dtype=torch.float64), torch.rand(1, 600, dtype=torch.float64)
    assert_close(function(x, a, backend="cpu")[0], function(x, a, backend="torch")[0], rtol=1e-11, atol=1e-11)


def test_rounds_count_in_what_is_expected() -> None:
    """A step that is repeated costs what its rounds do, forwards and backwards."""
    once = "    input  x[D], lam[D], u[D]\n    state  h[D]\n    h = lam * h + u * (u @ (x - h))\n    output h\n"
    loop = "    for y in fixpoint(h):\n        y = lam * h + 0.1 * u * (u @ (x - y))\n    h = y\n"
    costs = []
    for text in (once, once.replace("    h = lam * h + u * (u @ (x - h))\n", loop)):
        recurrence = front(f"recurrence r:\n{text}").recurrences[0]
        found = print_native(recurrence, guard(recurrence), guard(adjoint(recurrence)), "auto").costs
        assert found is not None
        costs.append([sum(count for _, count in each.vectors) for each in found])
    assert all(repeated > 3 * single for single, repeated in zip(*costs, strict=True))
