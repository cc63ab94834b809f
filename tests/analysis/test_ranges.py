"""Ranges of factors and eigenvalues that follow from what is promised."""

from __future__ import annotations

import pytest

from tests.analysis.measure import proof


@pytest.mark.parametrize(
    ("beta", "expected"),
    [("beta", "in (0, 1)"), ("2 * beta", "in (-1, 1)"), ("-beta", "in (1, 2)"), ("x", "may be negative")],
)
def test_eigenvalues_of_reflections(beta: str, expected: str) -> None:
    update = f"S = S - ({beta}) * outer(k, k @ S) + outer(k, v)"
    found = proof(f"input k[K], v[V], x, beta in (0, 1)\nstate S[K, V]\nassert norm(k) == 1\n{update}").eigenvalue
    assert found is not None and found.text == expected
    shorter = proof(f"input k[K], v[V], x, beta in (0, 1)\nstate S[K, V]\nassert norm(k) <= 1\n{update}").eigenvalue
    assert shorter is not None and shorter.text != "in (0, 1)"
    other = proof("input k[K], w[K], v[V]\nstate S[K, V]\nassert norm(k) == 1\nS = S - outer(k, w @ S) + outer(k, v)")
    assert other.eigenvalue is None


@pytest.mark.parametrize(
    ("promise", "expected"),
    [
        ("norm(k, axis=K) == 1", "equal to 0"),
        ("norm(k[1]) == 1", "equal to 0"),
        ("norm(k[0]) == 1", "at most 1"),
        ("norm(q) == 1", "at most 1"),
    ],
)
def test_a_promise_holds_where_it_was_given(promise: str, expected: str) -> None:
    text = f"input k[2, K], q[K], v[V]\nstate S[K, V]\nassert {promise}\nS = S - outer(k[1], k[1] @ S) + outer(q, v)"
    found = proof(text).eigenvalue
    assert found is not None and found.text == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("input k[N], b > 0\nstate h[N]\neps = b / (1 + b * sum(k**2))\nh = (1 - eps * k**2) * h", "in (0, 1]"),
        ("input k[N], b > 0\nstate h[N]\neps = b / (1 + b * sum(k**2))\nh = (1 - eps * k) * h", "may be negative"),
        ("input k[N], b\nstate h[N]\neps = b / (1 + b * sum(k**2))\nh = (1 - eps * k**2) * h", "may be negative"),
        (
            "input k[D, D], b > 0\nstate h[D, D]\nlevel[i] = b / (1 + b * sum(k[i, j]**2, axis=j))\n"
            "h[i, j] = (1 - level[i] * k[j, i]**2) * h[i, j]",
            "at most 1",
        ),
        (
            "input k[D, D], b > 0\nstate h[D, D]\nlevel[i] = b / (1 + b * sum(k[i, j]**2, axis=j))\n"
            "h[i, j] = (1 - level[i] * k[i, j]**2) * h[i, j]",
            "in (0, 1]",
        ),
    ],
)
def test_range_of_an_implicit_step(text: str, expected: str) -> None:
    found = proof(text).coefficient
    assert found is not None and found.text == expected
