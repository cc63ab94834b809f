"""What the algebra admits and what is worth doing, and how that changes when outputs become inputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import recc
from recc.passes.analyse import Analysis, Proof, analyse

Normal = Callable[..., Tensor]
METHODS = ("sequential", "scan")


@cache
def compiled(source: str) -> Callable[..., Any]:
    return recc.load(source)


def analysed(source: str) -> Analysis:
    return analyse(recc.check(source).recurrences[0])


@pytest.fixture
def normal() -> Normal:
    generator = torch.Generator().manual_seed(5)
    return lambda *shape: torch.randn(shape, generator=generator, dtype=torch.float64)


# --------------------------------------------------------------- products that lose their structure: a scan is not free


def times(name: str, sizes: dict[str, int], steps: int, rows: int = 8) -> tuple[float, float]:
    """What the emitted module expects of the sequential walk and of the scan, in seconds."""
    return compiled(name).__globals__["estimate"](sizes, steps, rows)[:2]


@pytest.mark.parametrize(("name", "axes"), [("slice_dense", "DN"), ("deltaproduct", "KV"), ("bilinear_rnn", "DN")])
@pytest.mark.parametrize("steps", [4096, 1_000_000])
def test_no_scan_is_chosen_where_products_become_dense(name: str, axes: str, steps: int) -> None:
    for size in (64, 128, 256):
        sequential, scan = times(name, dict.fromkeys(axes, size), steps)
        assert sequential < scan
    sequential, scan = times(name, dict.fromkeys(axes, 2), steps)
    assert scan < sequential  # so it is the size that decides


def test_the_price_of_a_dense_product_grows_with_the_cube_of_the_size() -> None:
    small, large = (times("slice_dense", {"D": 1, "N": size}, 4096)[1] for size in (128, 256))
    assert 6 < large / small < 9
    walk_small, walk_large = (times("slice_dense", {"D": 1, "N": size}, 4096)[0] for size in (512, 1024))
    assert 3 < walk_large / walk_small < 5


def test_a_decay_is_scanned_at_every_size() -> None:
    for size in (2, 64):
        sequential, scan = times("gla", {"K": size, "V": 2}, 4096)
        assert scan < sequential


@pytest.mark.parametrize("name", ["deltaproduct", "gated_deltanet"])
def test_products_of_reflections_are_known_not_to_keep_their_structure(name: str) -> None:
    assert "do not keep the structure" in recc.explain(name)
    assert "do not keep the structure" not in recc.explain("gla")


# ----------------------------------------------------------------------- inputs that are given, and outputs fed back


FED_BACK = """
recurrence fed_back:
    input  x[D]
    param  A[P, P], B[P, D], C[D, P]
    state  theta[P], y[D]
    theta = A @ theta + B @ (y + x)
    y = {readout}
    output y
"""
TEACHER_FORCED = """
recurrence teacher_forced:
    input  x[D]
    param  A[P, P], B[P, D], C[D, P]
    state  theta[P]
    theta = A @ theta + B @ x
    output y[D] = {readout}
"""


def feedback_arguments(normal: Normal) -> tuple[Tensor, ...]:
    return normal(1, 30, 2), 0.4 * normal(4, 4), 0.5 * normal(4, 2), 0.5 * normal(2, 4)


def test_given_inputs_leave_a_time_invariant_recurrence() -> None:
    for source in ("warp", TEACHER_FORCED.format(readout="tanh(C @ theta)")):
        (component,) = [c for c in analysed(source).components if c.states == ("theta",)]
        assert isinstance(component.verdict, Proof) and component.verdict.invariant
        assert "time-invariant dense" in component.verdict.text


def test_outputs_fed_back_through_a_nonlinearity_are_sequential(normal: Normal) -> None:
    text = FED_BACK.format(readout="tanh(C @ theta)")
    (refusal,) = analysed(text).refusals
    assert refusal.culprit.span is not None and refusal.culprit.span.text == "tanh(C @ theta)"
    with pytest.raises(ValueError, match="fed_back has no scan"):
        compiled(text)(*feedback_arguments(normal), method="scan")


def test_outputs_fed_back_linearly_are_another_linear_system(normal: Normal) -> None:
    text = FED_BACK.format(readout="C @ theta")
    assert not analysed(text).refusals
    arguments = feedback_arguments(normal)
    found = [compiled(text)(*arguments, method=method)[0] for method in METHODS]
    assert_close(found[1], found[0], rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("readout", ["C @ theta", "tanh(C @ theta)"])
def test_both_modes_agree_when_the_outputs_are_given_as_inputs(readout: str, normal: Normal) -> None:
    x, A, B, C = feedback_arguments(normal)
    y, _ = compiled(FED_BACK.format(readout=readout))(x, A, B, C)
    before = torch.cat([torch.zeros_like(y[:, :1]), y[:, :-1]], 1)
    forced, _ = compiled(TEACHER_FORCED.format(readout=readout))(x + before, A, B, C, method="scan")
    assert_close(forced, y, rtol=1e-11, atol=1e-12)
    alone, _ = compiled(TEACHER_FORCED.format(readout=readout))(x, A, B, C, method="scan")
    assert (alone - y).abs().max() > 0.1
