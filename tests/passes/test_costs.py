"""What a step is expected to cost, and what is chosen for that."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, partial
from typing import Any

import pytest
import torch

import recc
from recc.backends.cpu.module import native_costs
from recc.backends.cpu.source import lower
from recc.backends.torch.module import expected_costs
from recc.compiler import SizesError
from recc.compiler import analyse as report_of
from recc.ir.nodes import Recurrence
from recc.passes.adjoint import adjoint
from recc.passes.analyse import analyse
from recc.passes.cost import RATES, NativeCost, Vectors, value_at
from recc.passes.guard import guard
from recc.runtime.costs import BUILD_SHARE, Expected, Rates, StepWork, TorchStep, cheapest, expected_seconds

DECAY = "recurrence decays:\n    input x[D], a[D]\n    state h[D]\n    h = {a} * h + x\n    output h\n"
MEMORY = """
recurrence memory:
    input  q[K], k[K], v[V]
    state  S[K, V]
    S = S + outer(k, v)
    output o[V] = q @ S
"""
DENSE = "recurrence dense:\n    input x[D]\n    param U[D, D]\n    state h[D]\n    h = tanh(h @ U + x)\n    output h\n"


def recurrence_of(text: str) -> Recurrence:
    return recc.check(text).recurrences[0]


def native(text: str) -> tuple[NativeCost, NativeCost]:
    recurrence = recurrence_of(text)
    primal, derivative = guard(recurrence), guard(adjoint(recurrence))
    return native_costs(primal, lower(primal, derivative))


def vectors(cost: NativeCost, **sizes: int) -> int:
    return value_at(cost.vectors, sizes)


def test_an_axis_counts_in_whole_vectors() -> None:
    forward, _ = native(DECAY.format(a="a"))
    one = vectors(forward, D=1)
    assert vectors(forward, D=16) == one and vectors(forward, D=17) == vectors(forward, D=32) == 2 * one
    assert value_at(((("K", Vectors("V")), 3),), {"K": 5, "V": 33}) == 3 * 5 * 3


def test_functions_cost_more_than_products() -> None:
    (plain, plain_back), (heavy, heavy_back) = (native(DECAY.format(a=a)) for a in ("a", "exp(a)"))
    assert vectors(heavy, D=16) >= vectors(plain, D=16) + 10
    assert vectors(heavy_back, D=16) >= vectors(plain_back, D=16) + 10


def test_a_step_of_a_matrix_state_costs_as_much_as_its_elements() -> None:
    forward, backward = native(MEMORY)
    for cost in (forward, backward):
        assert 3.5 < vectors(cost, K=256, V=256) / vectors(cost, K=128, V=128) < 4.5
    assert vectors(backward, K=64, V=64) > 2 * vectors(forward, K=64, V=64)


def test_bytes_are_those_of_what_every_step_has() -> None:
    forward, backward = native(MEMORY)
    assert value_at(forward.bytes, {"K": 8, "V": 4}) == 4 * (8 + 8 + 4 + 4)
    # Backwards: inputs for the adjoint and for the states before it, the output's cotangent, the inputs' cotangents.
    assert value_at(backward.bytes, {"K": 8, "V": 4}) <= 4 * (2 * 20 + 4 + 20)
    complex_decay, _ = native(
        DECAY.format(a="a").replace("x[D], a[D]", "x[D]: complex, a[D]").replace("h[D]", "h[D]: complex")
    )
    assert value_at(complex_decay.bytes, {"D": 3}) == 4 * 3 * (2 + 1 + 2)


def test_matrices_that_all_rows_share_are_kept_apart_in_torch() -> None:
    forward, backward = expected_costs(recurrence_of(DENSE), analyse(recurrence_of(DENSE)))
    assert value_at(forward.walked.products, {"D": 8}) == 64 and value_at(forward.walked.elements, {"D": 8}) < 64
    # h again, the cotangent of h; the cotangent of U is one product over all steps.
    assert value_at(backward.walked.products, {"D": 8}) + value_at(backward.ahead.products, {"D": 8}) >= 3 * 64
    own, _ = expected_costs(recurrence_of(MEMORY), analyse(recurrence_of(MEMORY)))
    assert own.walked.products == () and value_at(own.walked.elements, {"K": 8, "V": 8}) >= 64


RATE = Rates(start=1.0, call=10.0, element=0.1, product=0.01, native_call=2.0, native_step=3.0, native_vector=0.5,
             native_byte=0.25)  # fmt: skip


def test_the_formula() -> None:
    work = StepWork(TorchStep(2, 5, 7), TorchStep(3, 11), TorchStep(9, 13), (4, 6))
    expected = expected_seconds([work], RATE, steps=100, rows=4, threads=2)
    ahead = 1 + 100 * 4 * 13 * 0.1
    assert expected.sequential == pytest.approx(ahead + 100 * (2 * 10 + 4 * 5 * 0.1 + (4 + 8) * 7 * 0.01))
    assert expected.scan == pytest.approx(ahead + (2 * 10 + 16) * 3 * 10 + 100 * 4 * 11 * 0.1)
    assert expected.native == pytest.approx(2 + 100 * 4 * ((3 + 4 * 0.5) / 2 + 6 * 0.25))
    both = expected_seconds([work, work], RATE, 100, 4, 2)
    assert both[:3] == pytest.approx(tuple(2 * seconds for seconds in expected[:3])) and both.chunks == (1, 1)
    assert expected_seconds([work], RATE, 100, 1, 8) == expected_seconds([work], RATE, 100, 1, 1)


def test_time_is_shared_out_where_processors_are_idle() -> None:
    """A step of 5 seconds, and 3 to sum it up: four chunks for each of two rows keep eight processors busy."""
    walk = TorchStep(1, 1)
    work = StepWork(walk, None, walk, (4, 0), summed=2)
    rates = RATE._replace(native_step=1.0, native_vector=1.0, native_call=0.0)
    expected = expected_seconds([work], rates, steps=100, rows=2, threads=8, processors=8)
    assert expected.chunks == (4,)
    assert expected.native == pytest.approx(100 * 2 * (5 + 3) / 8)
    assert expected_seconds([work], rates, 100, 2, 8, 3).chunks == (1,)  # there is one row for each two processors
    assert expected_seconds([work._replace(summed=None)], rates, 100, 2, 8, 8).chunks == (1,)


def test_what_there_is_not_takes_forever() -> None:
    expected = expected_seconds([StepWork(TorchStep(1, 1), None, TorchStep(0, 0), None)], RATE, 10, 1, 1)
    assert expected.sequential < math.inf and expected[1:] == (math.inf, math.inf, (1,))


@pytest.mark.parametrize(
    ("expected", "method", "decoding", "taken"),
    [
        (Expected(2.0, 1.0, 3.0), "auto", False, "scan"),
        (Expected(1.0, 2.0, 3.0), "auto", False, "sequential"),
        (Expected(2.0, 1.0, 0.1), "auto", False, "native"),
        (Expected(2.0, 1.0, 1.5), "sequential", False, "native"),
        (Expected(2.0, 1.0, 3.0), "sequential", False, "sequential"),
        (Expected(BUILD_SHARE / 2, math.inf, 0.0), "auto", False, "sequential"),
        (Expected(BUILD_SHARE / 2, math.inf, BUILD_SHARE), "sequential", True, "native"),
        (Expected(1.0, math.inf, math.inf), "auto", True, "sequential"),
    ],
)
def test_the_cheapest_is_taken(expected: Expected, method: str, decoding: bool, taken: str) -> None:
    assert cheapest(expected, method, decoding) == taken


@cache
def loaded() -> Any:
    return recc.load(MEMORY)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("sizes", [{"K": 64, "V": 64}, {"K": 3, "V": 100}])
def test_a_module_expects_what_explain_says(sizes: dict[str, int], training: bool) -> None:
    emitted = loaded().__globals__["estimate"](sizes, 300, 6, 2, training)
    shown = report_of(MEMORY).expected({**sizes, "T": 300, "B": 2, "H": 3}, threads=2)
    times = {(way.method, way.backend): way.training if training else way.forward for way in shown.ways}
    assert times["sequential", "torch"] == pytest.approx(emitted.sequential)
    assert times["scan", "torch"] == pytest.approx(emitted.scan)
    assert times["sequential", "cpu"] == pytest.approx(emitted.native)


def test_auto_runs_what_is_expected_to_be_fastest(monkeypatch: pytest.MonkeyPatch) -> None:
    f = loaded()
    made: list[str] = []

    def refuse(*_: object) -> None:
        made.append("native")
        raise f.__globals__["NativeError"]("no compiler today")

    monkeypatch.setitem(f.__globals__, "plan_native", refuse)
    monkeypatch.setitem(f.__globals__, "warn_without_native", lambda *_: None)
    asked: list[tuple[Any, ...]] = []

    def cost(native_seconds: float, *given: Any) -> Expected:
        asked.append(given)
        return Expected(1.0, 1.0, native_seconds)

    q, k, v = (torch.randn(2, 9, 3, size) for size in (4, 4, 5))
    spec = f.__globals__["SPEC"]
    for native_seconds, expected in ((0.5, ["native"]), (0.999, [])):
        monkeypatch.setitem(f.__globals__, "SPEC", replace(spec, cost=partial(cost, native_seconds)))
        made.clear()
        f(q, k, v)
        assert made == expected
    f(q.requires_grad_(), k, v)
    assert asked[0][:3] == ({"K": 4, "V": 5}, 9, 6) and asked[0][4] is False and asked[-2][4] is True


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"K": 4, "T": 9}, "V is missing"),
        ({"V": 4}, r"T, K are missing \(T is the number of steps\)"),
        ({"K": 4, "V": 4, "T": 0}, "T is 0, and has to be at least 1"),
        ({"K": -4, "V": 4, "T": 1}, "K is -4, and has to be at least 1"),
        ({"K": 4, "V": 4, "T": 1, "N": 1}, "memory has no size N, only T, B, H, K, V"),
    ],
)
def test_sizes_that_do_not_fit(sizes: dict[str, int], message: str) -> None:
    with pytest.raises(SizesError, match=f"^{message}"):
        report_of(MEMORY).expected(sizes)


def test_both_choices_are_those_with_the_least_time() -> None:
    for sizes in ({"K": 16, "V": 16, "T": 500}, {"K": 64, "V": 64, "T": 4096, "B": 8}):
        shown = report_of(MEMORY).expected(sizes)
        for part in ("forward", "training"):
            least = min(getattr(way, part) + BUILD_SHARE * (way.backend == "cpu") for way in shown.ways)
            chosen = getattr(shown, part)
            assert getattr(chosen, part) + BUILD_SHARE * (chosen.backend == "cpu") == least


def test_rates_are_positive() -> None:
    assert all(rate > 0 for rate in RATES) and len(RATES) == len(Rates._fields)
