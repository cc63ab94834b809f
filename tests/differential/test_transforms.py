"""Derivatives of emitted functions: checked numerically, twice, in both modes, and under torch.func."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from tests.differential.problems import Problem, call_flat, is_complex, name_and_method, problem, random_like, still
from tests.references.ports import TINY

CASES = name_and_method()
REAL = [case for case in CASES if not is_complex(str(case.values[0]))]
STEP = 1e-6


def tiny(name: str, method: str, T: int = 3) -> Problem:
    return problem(name, method, T, rows=1, sizes=TINY)


def moving(given: Problem) -> tuple[int, ...]:
    return tuple(place for place in range(len(given.tensors)) if place not in still(given.name))


def smooth_leaves(given: Problem) -> Problem:
    """Leaves, of which those that nothing is differentiated by want no gradient."""
    leaves = given.leaves()
    for place in still(given.name):
        leaves.tensors[place].requires_grad_(False)
    return leaves


def directions(given: Problem) -> tuple[Tensor, ...]:
    """A random direction, along which whole numbers stay."""
    moves = random_like(given.tensors)
    return tuple(move * (place not in still(given.name)) for place, move in enumerate(moves))


def loss_of(given: Problem) -> Callable[..., Tensor]:
    """A nonlinear function of outputs and final states, real whatever they are."""

    def loss(*tensors: Tensor) -> Tensor:
        results = call_flat(given.with_tensors(tensors))
        return torch.stack([(0.5 * r * r.conj() + r).real.sum() for r in results]).sum()

    return loss


@pytest.mark.parametrize(("name", "method"), CASES)
def test_gradcheck(name: str, method: str) -> None:
    given = smooth_leaves(tiny(name, method))
    assert gradcheck(
        lambda *tensors: call_flat(given.with_tensors(tensors)),
        given.tensors,
        check_forward_ad=True,
        fast_mode=True,
    )


@pytest.mark.parametrize(("name", "method"), CASES)
def test_gradgradcheck(name: str, method: str) -> None:
    given = smooth_leaves(tiny(name, method, 2))
    assert gradgradcheck(
        lambda *tensors: call_flat(given.with_tensors(tensors)), given.tensors, fast_mode=True, check_rev_over_rev=True
    )


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method"), CASES)
def test_every_element_of_the_jacobian(name: str, method: str) -> None:
    given = smooth_leaves(tiny(name, method))
    assert gradcheck(lambda *tensors: call_flat(given.with_tensors(tensors)), given.tensors, check_forward_ad=True)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_jvp_is_a_difference(name: str, method: str) -> None:
    given = tiny(name, method, 5)
    moves = directions(given)
    got = torch.func.jvp(lambda *tensors: call_flat(given.with_tensors(tensors)), given.tensors, moves)[1]
    ahead = call_flat(given.with_tensors([t + STEP * m for t, m in zip(given.tensors, moves, strict=True)]))
    behind = call_flat(given.with_tensors([t - STEP * m for t, m in zip(given.tensors, moves, strict=True)]))
    for derivative, a, b in zip(got, ahead, behind, strict=True):
        assert_close(derivative, (a - b) / (2 * STEP), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "method"), REAL)
def test_hessian_vector_products(name: str, method: str) -> None:
    """Forward over reverse and reverse over reverse, against a difference of gradients."""
    given = tiny(name, method, 4)
    loss, moves, places = loss_of(given), directions(given), moving(given)
    gradient = torch.func.grad(loss, places)
    forward = torch.func.jvp(gradient, given.tensors, moves)[1]
    leaves = smooth_leaves(given).tensors
    wanted = [leaves[place] for place in places]
    first = torch.autograd.grad(loss(*leaves), wanted, create_graph=True)
    reverse = torch.autograd.grad(first, wanted, [moves[place] for place in places])
    ahead = gradient(*(t + STEP * m for t, m in zip(given.tensors, moves, strict=True)))
    behind = gradient(*(t - STEP * m for t, m in zip(given.tensors, moves, strict=True)))
    for a, b, up, down in zip(forward, reverse, ahead, behind, strict=True):
        assert_close(a, b, rtol=1e-9, atol=1e-10)
        assert_close(a, (up - down) / (2 * STEP), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "method"), REAL)
def test_jacrev_is_jacfwd(name: str, method: str) -> None:
    given = tiny(name, method, 3)

    def first(*tensors: Tensor) -> Tensor:
        return call_flat(given.with_tensors(tensors))[0]

    places = tuple(range(len(given.tensors)))
    rows = torch.func.jacrev(first, places)(*given.tensors)
    columns = torch.func.jacfwd(first, places)(*given.tensors)
    assert_close(rows, columns, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_vmap_is_a_loop(name: str, method: str) -> None:
    several = [problem(name, method, 4, seed=seed) for seed in range(3)]
    stacked = tuple(torch.stack(column) for column in zip(*(p.tensors for p in several), strict=True))

    def run(*tensors: Tensor) -> tuple[Tensor, ...]:
        return call_flat(several[0].with_tensors(tensors))

    got = torch.func.vmap(run)(*stacked)
    for row, one in enumerate(several):
        assert_close(tuple(g[row] for g in got), call_flat(one), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("name", "method"), CASES)
def test_gradients_of_each_example(name: str, method: str) -> None:
    """vmap of grad, with params that are shared."""
    several = [problem(name, method, 4, rows=1, seed=seed) for seed in range(3)]
    count, total = len(several[0].inputs), len(several[0].inputs) + len(several[0].params)
    shared = several[0].params
    several = [p.with_tensors([*p.inputs, *shared, *p.states]) for p in several]
    loss = loss_of(several[0])
    axes = tuple(None if count <= place < total else 0 for place in range(len(several[0].tensors)))
    columns = zip(*(p.tensors for p in several), strict=True)
    given = [column[0] if axis is None else torch.stack(column) for column, axis in zip(columns, axes, strict=True)]
    places = tuple(range(len(given)))
    got = torch.func.vmap(torch.func.grad(loss, places), axes)(*given)
    for row, one in enumerate(several):
        leaves = one.leaves().tensors
        expected = torch.autograd.grad(loss(*leaves), leaves)
        assert_close(tuple(g[row] for g in got), expected, rtol=1e-10, atol=1e-11)
