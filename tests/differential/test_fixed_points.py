"""Emitted modules with fixed points: values, derivatives of both orders, what is reported, what is beside what."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import recc
from recc.compiler import analyse
from recc.diagnostics import SpecError
from recc.runtime import fixed_point
from recc.runtime.fixed_point import FixedPoint, solve_fixed_point
from recc.verify import verify
from tests.passes.test_implicit import CONTRACTIONS

IMPLICIT = """
recurrence implicit:
    input  x[D], a[D]
    param  W[D, D]
    state  h[D]
    for y in fixpoint(h, tol=1e-13, max=500):
        y = 0.5 * tanh(a) * sin(y @ W / (1 + norm(W))) + x + 0.1 * h
    h = y
    output h
"""
DRIVEN = """
recurrence driven:
    input  x[D], a in (0, 1)
    state  h[D]
    for y in fixpoint(x, tol=1e-13, max=500):
        y = 0.5 * cos(y) + x
    h = a * h + y
    output h
"""
DIVERGING = """
recurrence diverging:
    input  x
    state  h
    for y in fixpoint(h, tol=1e-6, max={most}):
        y = 1 + 2 * y * x
    h = 0.5 * h + y
    output h
"""


def tensors(rows: int = 2, steps: int = 5, size: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = (rows, steps, size), (rows, steps, size), (size, size), (rows, size)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def implicit() -> Callable[..., tuple[Tensor, Tensor]]:
    function = recc.load(IMPLICIT)
    return lambda x, a, W, h: function(x, a, W, initial_state=h, output_final_state=True)


# --- values ---


@pytest.mark.parametrize("name", ["two axes", "complex", "chosen", "inner minimum", "sizes and positions"])
def test_every_kind_of_step(name: str) -> None:
    for result in verify(f"recurrence r:{CONTRACTIONS[name]}", lengths=(0, 1, 5)):
        assert result.passed, result


def test_a_solution_of_inputs_alone_is_prepared_for_a_scan() -> None:
    assert {method.name for method in analyse(DRIVEN).methods} >= {"sequential", "scan"}
    function = recc.load(DRIVEN)
    x, a, _, _ = tensors(steps=200)
    a = torch.sigmoid(a[..., 0])
    one, other = (function(x, a, method=method)[0] for method in ("sequential", "scan"))
    assert_close(one, other, rtol=1e-12, atol=1e-12)
    y, h = torch.zeros_like(x), torch.zeros_like(x[:, 0])
    for _ in range(60):
        y = 0.5 * torch.cos(y) + x
    for t in range(x.shape[1]):
        h = a[:, t, None] * h + y[:, t]
        assert_close(one[:, t], h, rtol=1e-11, atol=1e-11)


def test_a_solution_of_the_state_has_neither_scan_nor_convolution() -> None:
    with pytest.raises(SpecError, match="a fixed point, found by repetition, that depends on the previous `h`"):
        recc.compile(IMPLICIT, method="scan")
    with pytest.raises(SpecError, match="`implicit` cannot be solved by convolutions"):
        recc.compile(IMPLICIT, method="convolution")


def test_neighbours_do_not_count() -> None:
    """Rows, lanes, packed sequences and the two halves of a sequence give the very numbers that they give alone."""
    function = recc.load(IMPLICIT)
    x, a, W, h = tensors(rows=3, steps=8)
    a[1] *= 100  # the slowest
    whole, final = function(x, a, W, initial_state=h, output_final_state=True)
    alone = [function(x[row, None], a[row, None], W, initial_state=h[row, None])[0] for row in range(3)]
    assert torch.equal(whole, torch.cat(alone))
    half = function(x[:, :3], a[:, :3], W, initial_state=h, output_final_state=True)
    rest = function(x[:, 3:], a[:, 3:], W, initial_state=half[1], output_final_state=True)
    assert torch.equal(whole, torch.cat([half[0], rest[0]], 1)) and torch.equal(final, rest[1])
    flat = [t.reshape(1, -1, t.shape[-1]) for t in (x, a)]
    packed, last = function(*flat, W, initial_state=h, output_final_state=True, cu_seqlens=torch.tensor([0, 8, 16, 24]))
    assert torch.equal(packed.reshape(whole.shape), whole) and torch.equal(last, final)
    lanes = [t.movedim(0, 1)[None] for t in (x, a)]
    assert torch.equal(function(*lanes, W, initial_state=h[None])[0][0].movedim(1, 0), whole)


def test_nan_stays_in_its_row() -> None:
    function = recc.load(IMPLICIT)
    x, a, W, _ = tensors()
    clean = function(x, a, W)[0]
    x[1] = torch.nan
    with pytest.warns(RuntimeWarning, match="nan"):
        found = function(x, a, W)[0]
    assert torch.equal(found[0], clean[0]) and found[1].isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_nothing_below_the_rounding_is_waited_for(dtype: torch.dtype) -> None:
    function = recc.load(IMPLICIT)
    given = tensors()
    found = function(*(t.to(dtype) for t in given[:3]))[0]
    assert found.dtype == dtype
    exact = function(*(t.to(dtype).double() for t in given[:3]))[0]
    assert_close(found.double(), exact, rtol=8 * torch.finfo(dtype).eps, atol=64 * torch.finfo(torch.float32).eps)


# --- derivatives ---


def test_first_and_second_derivatives() -> None:
    given = [t.requires_grad_() for t in tensors(steps=3)]
    assert torch.autograd.gradcheck(implicit(), given, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(
        implicit(), given, fast_mode=True, check_fwd_over_rev=True, check_rev_over_rev=True
    )


def test_a_gradient_is_that_of_very_many_rounds() -> None:
    x, a, W, h = (t.requires_grad_() for t in tensors(steps=1))
    outputs, _ = implicit()(x, a, W, h)
    y = torch.zeros_like(h)
    for _ in range(80):
        y = 0.5 * torch.tanh(a[:, 0]) * torch.sin(y @ W / (1 + W.norm())) + x[:, 0] + 0.1 * h
    scale = 1e-30  # far below the tolerance
    found = torch.autograd.grad(outputs.square().sum() * scale, (x, a, W, h))
    wanted = torch.autograd.grad(y.square().sum() * scale, (x, a, W, h))
    for one, other in zip(found, wanted, strict=True):
        assert_close(one / scale, other / scale, rtol=1e-10, atol=1e-10)


def test_hessians_agree() -> None:
    given = tensors(rows=1, steps=3)

    def loss(*tensors: Tensor) -> Tensor:
        return implicit()(*tensors)[0].square().sum()

    func = torch.func
    expected = func.jacrev(func.jacrev(loss, 2), 2)(*given)
    assert expected.abs().max() > 1e-3
    assert_close(func.jacfwd(func.jacrev(loss, 2), 2)(*given), expected)
    assert_close(func.jacrev(func.jacfwd(loss, 2), 2)(*given), expected)


def test_vmap() -> None:
    x, a, W, h = tensors()
    both = torch.stack([W, -W])
    found = torch.func.vmap(implicit(), (None, None, 0, None))(x, a, both, h)[0]
    assert_close(found, torch.stack([implicit()(x, a, each, h)[0] for each in both]), rtol=1e-11, atol=1e-11)
    loss = torch.func.grad(lambda W: implicit()(x, a, W, h)[0].square().sum())
    assert_close(torch.func.vmap(loss)(both), torch.stack([loss(each) for each in both]), rtol=1e-9, atol=1e-9)


def test_compiled_whole() -> None:
    given = [t.requires_grad_() for t in tensors()]
    compiled = torch.compile(implicit(), fullgraph=True, backend="aot_eager")
    one, other = compiled(*given)[0], implicit()(*given)[0]
    assert torch.equal(one, other)
    for found, wanted in zip(
        torch.autograd.grad(one.square().sum(), given), torch.autograd.grad(other.square().sum(), given), strict=True
    ):
        assert_close(found, wanted, rtol=1e-12, atol=1e-12)


# --- what is reported ---


def test_not_converging_is_reported_once() -> None:
    function = recc.load(DIVERGING.format(most=11))
    x = torch.tensor([[0.25, 0.75, 0.75]], dtype=torch.float64)
    with pytest.warns(RuntimeWarning) as caught:
        found = function(x)[0]
    message = "`y` of diverging did not converge in 11 rounds: the last one changed it by "
    assert [str(each.message)[: len(message)] for each in caught] == [message]
    assert found.isfinite().all()
    assert_close(found[0, 0].item(), 2.0, rtol=1e-3, atol=0.0)
    function(x)


def test_a_backward_pass_is_reported_by_itself() -> None:
    function = recc.load(DIVERGING.format(most=12))
    x = torch.tensor([[0.75]], dtype=torch.float64, requires_grad=True)
    with pytest.warns(RuntimeWarning, match="`y` of diverging did not converge in 12 rounds"):
        y = function(x)[0]
    with pytest.warns(RuntimeWarning, match="`adjoint_y` of diverging did not converge in 24 rounds"):
        y.sum().backward()


# --- the runtime alone ---


@pytest.fixture
def nothing_reported() -> Iterator[None]:
    before = set(fixed_point.MISSED)
    fixed_point.MISSED.clear()
    yield
    fixed_point.MISSED.clear()
    fixed_point.MISSED.update(before)


def halve(unknown: tuple[Tensor], given: tuple[Tensor, ...]) -> tuple[Tensor]:
    return (0.5 * unknown[0] + given[0],)


def solved(x: Tensor, **changes: object) -> Tensor:
    ending = {"features": 1, "tolerance": 1e-12, "rounds": 100, "what": "it", **changes}
    return solve_fixed_point(halve, torch.zeros_like(x), (x,), **ending)  # pyright: ignore[reportArgumentType]


def test_a_start_that_is_the_solution_is_kept() -> None:
    x = torch.ones(2, 3)
    calls = []

    def step(unknown: tuple[Tensor], given: tuple[Tensor, ...]) -> tuple[Tensor]:
        calls.append(unknown)
        return halve(unknown, given)

    found = solve_fixed_point(step, 2 * x, (x,), features=1, tolerance=1e-6, rounds=9, what="it")
    assert torch.equal(found, 2 * x) and len(calls) == 1


def test_rows_end_by_themselves() -> None:
    x = torch.tensor([[1.0, 2.0], [1e6, 1.0], [0.0, 0.0]], dtype=torch.float64)
    assert torch.equal(solved(x, tolerance=1e-3), torch.cat([solved(row[None], tolerance=1e-3) for row in x]))
    assert torch.equal(solved(x[:, 0], features=0, tolerance=1e-3)[:1], solved(x[:1, :1], tolerance=1e-3)[:, 0])


@pytest.mark.usefixtures("nothing_reported")
def test_a_report_names_the_largest_change() -> None:
    with pytest.warns(RuntimeWarning, match="^it did not converge in 3 rounds: the last one changed it by 0.25$"):
        solved(torch.ones(1, 2), rounds=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        solved(torch.ones(1, 2), rounds=3)
    assert not caught


def test_the_function_is_differentiable_in_every_way() -> None:
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        solved, (x,), check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True
    )
    square = lambda x: solved(x).square()  # noqa: E731
    assert torch.autograd.gradgradcheck(square, (x,), check_fwd_over_rev=True)
    assert_close(torch.func.vmap(solved)(x[None].detach())[0], solved(x.detach()))
    assert issubclass(FixedPoint, torch.autograd.Function)
