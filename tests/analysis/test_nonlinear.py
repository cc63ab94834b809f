"""What is nonlinear: the smallest culprit, the kind of function, and the pattern of the Jacobian."""

from __future__ import annotations

import pytest

from tests.analysis.measure import proof, refusal


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ("h = where(h > 0, h, 0.1 * h) + x", "nonlinear (piecewise affine), elementwise over D: diagonal Jacobian"),
        ("h = elu(h) + x", "nonlinear (with kinks), elementwise over D: diagonal Jacobian"),
        ("h = norm(h) * x", "nonlinear (with kinks), dense Jacobian over D"),
        (
            "h = where(h > 0, 1, 0) + x",
            "nonlinear (piecewise affine, discontinuous), elementwise over D: diagonal Jacobian",
        ),
        (
            "h = where(h > 1, h, 0) + x",
            "nonlinear (piecewise affine, discontinuous), elementwise over D: diagonal Jacobian",
        ),
        ("h = h * h + x", "nonlinear (polynomial), elementwise over D: diagonal Jacobian"),
        ("h = h * mean(h) + x", "nonlinear (polynomial), dense Jacobian over D"),
        ("h = h * sign(h) + x", "nonlinear (piecewise polynomial), elementwise over D: diagonal Jacobian"),
        ("h = h / (1 + h * h)", "nonlinear (rational), elementwise over D: diagonal Jacobian"),
        ("h = tanh(roll(h, 1, axis=D)) + x", "nonlinear, dense Jacobian over D, banded along D"),
        ("h = max(h, x) + tanh(W @ h)", "nonlinear (with kinks), dense Jacobian over D"),
    ],
)
def test_kinds_of_nonlinear_updates(update: str, expected: str) -> None:
    assert refusal(f"input x[D]\nparam W[D, D]\nstate h[D]\n{update}").text == expected


def test_the_jacobian_of_several_states() -> None:
    assert (
        refusal("input x\nstate a, b\na, b = a * b + x, tanh(a)").text
        == "nonlinear, one number each: 2x2 Jacobian blocks"
    )
    text = "input x[D], k[K]\nstate a[D, K], b[D]\na, b = tanh(a * b) + outer(x, k), a @ k"
    assert refusal(text).text == "nonlinear, dense Jacobian over K and 2 states for every D"


def test_a_dense_linear_fixed_point_iteration() -> None:
    """FP-RNN is linear only if its mixer does not read the state (trap T12)."""
    step = """input x[D], lam[D] in (0, 1), u[2, D], beta[2] in (0, 1)
state h[D]
def mix(r, b):
    for j in 2: r = r - b[j] * u[j] * (u[j] @ r)
    return r
y = h
for l in 3:
    y = lam * h + (1 - lam) * (mix(x - y, {}) + y)
h = y"""
    assert proof(step.format("beta")).structure.text == "dense over D"
    found = refusal(step.format("beta * mean(h)"))
    assert "values that depend on the previous `h`" in found.reason and found.text.startswith(
        "nonlinear (polynomial), dense"
    )


@pytest.mark.parametrize(
    ("text", "culprit", "word"),
    [
        ("input x\nstate h\nh = h + exp(h) + x", "exp(h)", "`exp`"),
        ("input x\nstate h\nh = x + (h - h * h)", "h * h", "product of two values"),
        ("input x\nstate h\nh = (h * h) / h + x", "h * h", "product of two values"),
        ("input x\nstate h\nh = where(h > 0, h, -h) + x", "h > 0", "`>`"),
        ("input x\nstate h\nh = abs(h) + x", "abs(h)", "`abs`"),
        ("input x\nstate h\nh = x * max(h, x)", "x * max(h, x)", "not linear in (max,+)"),
        ("input x\nstate h\nh = max(h, x) + h", "max(h, x) + h", "sum of two values"),
        ("input x\nstate h\nh = x * h + x * max(h, x)", "max(h, x)", "maximum"),
        ("input x\nstate h\nh = h**2 * x", "h**2", "power"),
        ("input x\nstate h\nif h > 0: h = h + x", "h > 0", "`>`"),
        ("input x\nstate h\nh = max(h + x, 2 * max(h, x) + h)", "2 * max(h, x)", "product"),
        ("input x\nstate h: complex\nh = conj(h) + x", "conj(h)", "not complex-linear"),
        ("input x\nstate h: complex\nh = 1j * real(h) + x", "real(h)", "not complex-linear"),
        ("input x\nstate h: complex\nh = abs(h) + x", "abs(h)", "`abs`"),
        ("input x[D]\nstate A[D, D]\nA = A + solve(A, A)", "solve(A, A)", "`solve` with a matrix"),
        ("input x[D]\nstate h[D]\nh = h * sum(h) + x", "h * sum(h)", "product of two values"),
        ("input x\nstate h\nh = x / (1 + h) + h", "x / (1 + h)", "division by a value"),
        ("input x\nstate h\nh = floor(h) + x", "floor(h)", "`floor`"),
        ("input x\nstate h, c\nh, c = h + c, c * h + x", "c * h", "product of two values"),
    ],
)
def test_traps_are_refused_at_the_smallest_culprit(text: str, culprit: str, word: str) -> None:
    found = refusal(text, "h" if "state h" in text else None)
    assert found.culprit.span.text == culprit
    assert word in found.reason


@pytest.mark.parametrize(
    ("text", "text_found"),
    [
        ("input x\nstate h\nh = h**1 + x", "identity (running sum)"),
        ("input x\nstate h\nh = real(2 * h) + x", "time-invariant scalar decay, equal to 2"),
        ("input a: complex\nstate h\nh = real(a * h)", "scalar"),
        ("input x\nstate h\nh = h / (1 + x**2)", "scalar decay, in (0, 1]"),
        ("input x\nstate h\nh = where(x > 0, 0.5 * h, h)", "scalar decay, in [0.5, 1]"),
        ("input x[D]\nstate h[D]\nh = h - mean(x) * h", "scalar"),
    ],
)
def test_what_only_looks_nonlinear(text: str, text_found: str) -> None:
    assert proof(text).text == text_found
