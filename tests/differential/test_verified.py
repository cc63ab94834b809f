"""`recc.verify` passes on every spec that ships, and does not pass on what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import recc.verify
from recc import compiler
from recc.catalogue import shipped
from recc.compiler import front
from recc.ir.interpreter import evaluate
from recc.ir.nodes import Binary
from recc.verify import LENGTHS, Result, verify
from recc.verify.oracle import Oracle
from recc.verify.samples import Shape, draw_sample, symbolic_sizes
from tests.differential.problems import methods
from tests.references import CORE, NAMES

GOOD = """
recurrence good:
    input  x[D], g[D] <= 0
    param  W[D, D], b[D]
    state  h[D] = b
    h = exp(g) * h + x @ W
    output y[D] = tanh(h)
"""


def lengths_of(name: str) -> tuple[int, ...]:
    """All short ones for the core, and the long one for every fifth spec."""
    return LENGTHS if NAMES.index(name) % 5 == 0 else (0, 1, 2, 63, 65) if name in CORE else (0, 1, 5)


def assert_verified(name: str, lengths: tuple[int, ...], ones: bool = True) -> None:
    results = verify(shipped()[name], lengths=lengths, ones=ones)
    by_torch = [(r.method, r.dtype) for r in results if r.backend == "torch"]
    assert by_torch == [(m, d) for m in methods(name) for d in ("float64", "float32")]
    native = [(r.method, r.dtype) for r in results if r.backend == "cpu"]
    assert native == [("sequential", "float64"), ("sequential", "float32")]
    for result in results:
        assert result.passed and not result.detail, result
        assert result.cases > (10 if ones else 8) and result.error <= result.tolerance >= result.gradient_error


@pytest.mark.parametrize("name", NAMES)
def test_specs(name: str) -> None:
    """Sizes of one, which take as long to build as others, for the core and every fourth spec; all are slow."""
    assert_verified(name, lengths_of(name), ones=name in CORE or NAMES.index(name) % 4 == 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_specs_at_all_lengths(name: str) -> None:
    assert_verified(name, LENGTHS)


def by_torch(text: str) -> list[Result]:
    """The rows of the torch programs alone."""
    return [result for result in verify(text, lengths=(0, 1, 3)) if result.backend == "torch"]


def test_a_file_of_several_and_progress() -> None:
    seen: list[tuple[int, int]] = []
    results = verify(GOOD + GOOD.replace("good", "other"), progress=lambda *n: seen.append(n), lengths=(0, 1, 3))
    assert [r.recurrence for r in results] == ["good"] * 6 + ["other"] * 6
    assert all(r.passed for r in results), results
    assert seen == [(n, len(seen)) for n in range(1, len(seen) + 1)]
    assert len(seen) == sum(r.cases for r in results)


@pytest.mark.parametrize(("right", "wrong"), [("torch.tanh(", "torch.sin("), ("torch.exp(g)", "torch.exp(1.01 * g)")])
def test_wrong_values_are_found(monkeypatch: pytest.MonkeyPatch, right: str, wrong: str) -> None:
    def emit(*args: Any, **kwargs: Any) -> str:
        text = compiler.emit(*args, **kwargs)
        assert right in text
        return text.replace(right, wrong)

    monkeypatch.setattr(recc.verify, "emit", emit)
    results = by_torch(GOOD)
    assert not any(r.passed for r in results)
    assert all("is off by" in r.detail and "B=2" in r.detail for r in results)


def test_a_wrong_gradient_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def emit(*args: Any, **kwargs: Any) -> str:
        before, mark, after = compiler.emit(*args, **kwargs).partition("def adjoint_finish")
        return (
            before
            + mark
            + after.replace("return (", "return tuple(1.001 * t for t in (", 1).replace("), (", ")), (", 1)
        )

    monkeypatch.setattr(recc.verify, "emit", emit)
    results = by_torch(GOOD)
    assert all(r.error <= r.tolerance < r.gradient_error for r in results), results
    assert all("gradient of " in r.detail for r in results)


def test_what_raises_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def emit(*args: Any, **kwargs: Any) -> str:
        return compiler.emit(*args, **kwargs).replace("torch.tanh(", "torch.no_such_function(")

    monkeypatch.setattr(recc.verify, "emit", emit)
    results = by_torch(GOOD)
    assert all("no_such_function" in r.detail and not r.passed for r in results)


def test_a_wrong_adjoint_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the oracle's gradients are wrong in the same way, the finite difference tells."""
    import recc.passes.adjoint as adjoint

    right: Callable[..., Any] = adjoint.unary_partial
    monkeypatch.setattr(adjoint, "unary_partial", lambda op, x, y: right("sin" if op == "tanh" else op, x, y))
    results = verify(GOOD, lengths=(0, 1, 3))
    assert all("finite difference" in r.detail for r in results)


@pytest.mark.parametrize(
    ("promise", "kept"),
    [
        ("norm(x) == 1", True),
        ("sumsq(x) <= 0.5", True),
        ("sum(w) == 1", True),
        ("max(x) < 0.25", True),
        ("norm(x) >= 3", True),
        ("x < w", True),
        ("abs(g) > 0.5 and x > -1", True),
        ("g == round(g)", True),
        ("x[i] == where(x[i] == max(x), 1, 0)", True),
        ("logsumexp(x[i], axis=i) == 0", True),
        ("norm(x) == norm(w)", False),
    ],
)
def test_samples_keep_promises(promise: str, kept: bool) -> None:
    body = f"assert {promise}\n    s = s + sum(x * w) * g\n    output s\n"
    text = f"recurrence r:\n    input x[K], w[K] in (0, 1), g\n    state s\n    {body}"
    recurrence = front(text).recurrences[0]
    sample = draw_sample(recurrence, np.random.default_rng(0), Shape(4, 2, 50, symbolic_sizes(recurrence, (3,))))
    assert (not sample.broken) == kept
    assert sample.broken == (() if kept else (promise,))
    (test,) = (item.test for item in recurrence.promises)
    if kept and not (isinstance(test, Binary) and test.op == "eq"):
        assert evaluate(test, sample.inputs, sample.shape.sizes).all()
    for value in sample.inputs.values():
        assert np.array_equal(value, value.astype(np.float32))
        assert np.ptp(value) > 0


def test_a_recurrence_that_grows_is_checked_on_the_steps_before() -> None:
    text = "recurrence r:\n    input x\n    state h\n    h = 3 * h + x\n    output h\n"
    recurrence = front(text).recurrences[0]
    oracle = Oracle(recurrence, Shape(4, 2, 1000, {}))
    assert 5 < oracle.forward.longest < 30
    results = verify(text)
    assert all(r.passed for r in results), results


def test_a_chaotic_recurrence_is_checked_on_the_steps_before_rounding_takes_over() -> None:
    text = "recurrence r:\n    input a in (3.8, 4)\n    state h = 0.3\n    h = a * h * (1 - h)\n    output h\n"
    oracle = Oracle(front(text).recurrences[0], Shape(4, 2, 1000, {}))
    assert 5 < oracle.forward.longest < 40
    results = verify(text)
    assert all(r.passed for r in results), results


def test_nan_is_not_agreement() -> None:
    results = verify("recurrence r:\n    input x\n    state h\n    h = h + x\n    output y = sqrt(-1 - h * h)\n")
    assert not any(r.passed for r in results)
    assert all("NaN" in r.detail for r in results)
