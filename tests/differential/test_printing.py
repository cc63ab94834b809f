"""Texts of an emitted module that no spec needs in every form: solves with many right sides, conditions on sizes."""

from __future__ import annotations

import pytest

from recc.compiler import emit
from recc.verify import verify

BODIES = {
    "solve with a matrix on the right": "h = solve(eye(D) + 0.1 * A, outer(x, y)) @ y",
    "solve with two axes on the right": "h = sum(solve(eye(D) + 0.1 * A, x * G), axis=(K, N))",
    "a condition on a size": "h = 0.5 * h + where(D > 2, x, 0.1) + where(D > 3, 0.2, x)",
    "a condition on a size, on what lacks an axis": "h = 0.5 * h + where(D > 2, s, x) + sum(where(D > 2, s, x))",
    "a condition that never holds": "h = where(s > 0 and 0 == 1, x * sin(h), x)",
}
HEAD = "recurrence r:\n    input x[D], y[K], s\n    param A[D, D], G[D, K, N]\n    state h[D]\n    "


@pytest.mark.parametrize("name", BODIES)
def test_against_the_interpreter(name: str) -> None:
    text = f"{HEAD}{BODIES[name]}\n    output h\n"
    results = verify(text, lengths=(0, 1, 3))
    assert results and all(result.passed for result in results), results


def test_many_right_sides_need_one_factorisation() -> None:
    text = emit(f"{HEAD}h = solve(eye(D) + 0.1 * A, outer(x, y)) @ y\n    output h\n")
    assert "torch.linalg.solve(" in text and "[..., 0].mT" not in text


def test_cotangents_of_all_parts_are_put_together() -> None:
    """Each part of `k` is chosen at its place; nothing is added to zero."""
    head = "recurrence r:\n    input k[3, K], v[K]\n    state h[K]\n    "
    text = emit(f"{head}h = 0.5 * h + k[0] * v + k[1] + sin(k[2] * v)\n    output h\n")
    finish = text.split("def adjoint_finish")[1].split("def tangent_constants")[0]
    assert finish.count("torch.where") == 2 and ", 0)" not in finish


def test_an_updated_part_passes_its_cotangent_on() -> None:
    head = "recurrence r:\n    input x[K], g\n    state S[4, K]\n    "
    text = emit(f"{head}S = g * S\n    S[0] += x\n    output y[K] = sum(S[n], axis=n)\n")
    adjoint = text.split("def adjoint_step")[1].split("def adjoint_begin")[0]
    assert "torch.where" not in adjoint
