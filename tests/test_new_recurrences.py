"""Recurrences that stand in no catalogue: what the front end makes of them is what NumPy computes from the same lines,
and what is emitted for them agrees with that in every method that they admit, values and gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.ndimage import convolve1d

from recc.compiler import analyse, front
from recc.ir.interpreter import run
from recc.verify import verify

Arrays = dict[str, np.ndarray]
Reference = Callable[[Arrays, Arrays], Arrays]
CASES: dict[str, tuple[str, frozenset[str], Reference]] = {}
BOTH, SEQUENTIAL = frozenset({"sequential", "scan"}), frozenset({"sequential"})
SIZES = {"K": 3, "V": 2, "D": 4, "N": 3, "X": 5, "C": 2, "H": 2}
STEPS = 11


def case(text: str, methods: frozenset[str]) -> Callable[[Reference], Reference]:
    """A recurrence with its methods and a reference: inputs (T, ...) and params to outputs (T, ...)."""

    def add(reference: Reference) -> Reference:
        CASES[reference.__name__] = text, methods, reference
        return reference

    return add


def over_time(steps: list[Arrays]) -> Arrays:
    return {name: np.stack([step[name] for step in steps]) for name in steps[0]}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@case(
    """
recurrence two_speeds:
    input  q[K], k[K], v[V], slow[K] in (0, 1), fast[K] in (0, 1)
    state  S[K, V], F[K, V], z[K] = 1
    S, F = slow * S + outer(k, v), fast * F + outer(k, v)
    z = slow * z + abs(k)
    output o[V] = (q @ S - q @ F) / (1 + abs(q @ z))
    """,
    BOTH,
)
def two_speeds(x: Arrays, w: Arrays) -> Arrays:
    S, F, z, found = np.zeros((3, 2)), np.zeros((3, 2)), np.ones(3), []
    for q, k, v, slow, fast in zip(x["q"], x["k"], x["v"], x["slow"], x["fast"], strict=True):
        S, F = slow[:, None] * S + np.outer(k, v), fast[:, None] * F + np.outer(k, v)
        z = slow * z + np.abs(k)
        found.append({"o": (q @ S - q @ F) / (1 + np.abs(q @ z))})
    return over_time(found)


@case(
    """
recurrence reflections(n=3):
    input  q[K], k[n, K], v[n, V], beta[n] in (0, 2), g <= 0
    state  S[K, V]
    for j in n:
        u = l2norm(k[j])
        S = S - beta[j] * outer(u, u @ S)
        if j == n - 1:
            S = exp(g) * S
        S += beta[j] * outer(u, v[j])
    output o[V] = q @ S
    """,
    BOTH,
)
def reflections(x: Arrays, w: Arrays) -> Arrays:
    S, found = np.zeros((3, 2)), []
    for t in range(STEPS):
        for j in range(3):
            u = x["k"][t, j] / np.linalg.norm(x["k"][t, j])
            S = S - x["beta"][t, j] * np.outer(u, u @ S)
            S = S * np.exp(x["g"][t]) if j == 2 else S
            S = S + x["beta"][t, j] * np.outer(u, x["v"][t, j])
        found.append({"o": x["q"][t] @ S})
    return over_time(found)


@case(
    """
recurrence heavy_ball:
    input  x[D], a in (0, 1), b in (0, 1)
    param  w[D]
    state  m[D], h[D] = w
    m = a * m - (1 - a) * (h - x)
    h = h + b * m
    output h, speed = norm(m)
    """,
    BOTH,
)
def heavy_ball(x: Arrays, w: Arrays) -> Arrays:
    m, h, found = np.zeros(4), w["w"], []
    for value, a, b in zip(x["x"], x["a"], x["b"], strict=True):
        m = a * m - (1 - a) * (h - value)
        h = h + b * m
        found.append({"h": h, "speed": np.linalg.norm(m)})
    return over_time(found)


@case(
    """
recurrence running_softmax:
    input  s, v[V]
    state  top = -inf, total, mean[V]
    new = max(top, s)
    old, gain = total * exp(top - new), exp(s - new)
    top, total = new, old + gain
    mean = (old * mean + gain * v) / total
    output o[V] = mean, entropy = log(total) + top
    """,
    BOTH,
)
def running_softmax(x: Arrays, w: Arrays) -> Arrays:
    found = []
    for t in range(1, STEPS + 1):
        weights = np.exp(x["s"][:t])
        found.append({"o": weights @ x["v"][:t] / weights.sum(), "entropy": np.log(weights.sum())})
    return over_time(found)


@case(
    """
recurrence forgetful(period=4) over n:
    input  x[D], t in (0, 1)
    state  h[D]
    if n % period == 0:
        h = 0
    elif n % period == 1:
        h = h / 2
    else:
        h = t * h
    h = h + x
    output h, phase = n % period
    """,
    BOTH,
)
def forgetful(x: Arrays, w: Arrays) -> Arrays:
    h, found = np.zeros(4), []
    for n in range(STEPS):
        factor = {0: 0.0, 1: 0.5}.get(n % 4, x["t"][n])
        h = factor * h + x["x"][n]
        found.append({"h": h, "phase": np.array(n % 4)})
    return over_time(found)


@case(
    """
recurrence resonators:
    input  x[D], decay[D], turn[D]
    param  c[D]: complex
    state  h[D]: complex = 1 + 0.5j
    gate = exp(-softplus(decay) + 1j * turn)
    h = gate * h + x * conj(c)
    output y[D] = real(c * h), power[D] = real(h * conj(h)), raw[D]: complex = h
    """,
    BOTH,
)
def resonators(x: Arrays, w: Arrays) -> Arrays:
    h, c, found = np.full(4, 1 + 0.5j), w["c"], []
    for t in range(STEPS):
        gate = np.exp(-np.log1p(np.exp(x["decay"][t])) + 1j * x["turn"][t])
        h = gate * h + x["x"][t] * np.conj(c)
        found.append({"y": (c * h).real, "power": np.abs(h) ** 2, "raw": h})
    return over_time(found)


@case(
    """
recurrence echoes:
    input  x[D], a in (0, 1)
    state  h[D] = 2
    local = x * a
    h = a * h + prev(x, 2) - prev(local, init=0.5) + 0.1 * prev(h, 2)
    output h, before[D] = prev(x)
    """,
    BOTH,
)
def echoes(x: Arrays, w: Arrays) -> Arrays:
    values, a = x["x"], x["a"][:, None]
    local, hs, found = values * a, [np.full(4, 2.0), np.full(4, 2.0)], []
    for t in range(STEPS):
        late = values[t - 2] if t > 1 else 0
        held = local[t - 1] if t > 0 else 0.5
        hs.append(a[t] * hs[-1] + late - held + 0.1 * hs[-2])
        found.append({"h": hs[-1], "before": values[t - 1] if t > 0 else np.zeros(4)})
    return over_time(found)


@case(
    """
recurrence inner_descent:
    input  q[K], k[K], v[V], rate in (0, 0.1)
    param  W[K, V]
    state  S[K, V] = W
    error = tanh(k @ S) - v
    S = S - rate * grad(0.5 * sumsq(error) + 0.25 * sum(S ** 4), S)
    output o[V] = tanh(q @ S)
    """,
    SEQUENTIAL,
)
def inner_descent(x: Arrays, w: Arrays) -> Arrays:
    S, found = w["W"], []
    for q, k, v, rate in zip(x["q"], x["k"], x["v"], x["rate"], strict=True):
        y = np.tanh(k @ S)
        S = S - rate * (np.outer(k, (y - v) * (1 - y**2)) + S**3)
        found.append({"o": np.tanh(q @ S)})
    return over_time(found)


@case(
    """
recurrence inner_ridge:
    input  q[K], k[K], v[V], rate in (0, 0.1)
    state  S[K, V], M[K, V]
    M = 0.9 * M + grad(0.5 * sumsq(k @ S - v) + 0.1 * sumsq(S), S)
    S = S - rate * M
    output o[V] = q @ S
    """,
    BOTH,
)
def inner_ridge(x: Arrays, w: Arrays) -> Arrays:
    S, M, found = np.zeros((3, 2)), np.zeros((3, 2)), []
    for q, k, v, rate in zip(x["q"], x["k"], x["v"], x["rate"], strict=True):
        M = 0.9 * M + np.outer(k, k @ S - v) + 0.2 * S
        S = S - rate * M
        found.append({"o": q @ S})
    return over_time(found)


@case(
    """
recurrence shift_register(n=4):
    input  x[D], a in (0, 1)
    state  R[n, D] = 0.25
    for j in n - 1:
        R[n - 1 - j] = R[n - 2 - j]
    R[0] = x
    R[1] += a * R[3]
    R[2, d] = R[2, d] * a + x[d]
    output o[D] = mean(R, axis=n), last = R[3]
    """,
    BOTH,
)
def shift_register(x: Arrays, w: Arrays) -> Arrays:
    R, found = np.full((4, 4), 0.25), []
    for value, a in zip(x["x"], x["a"], strict=True):
        R = np.concatenate([value[None], R[:3]])
        R[1] = R[1] + a * R[3]
        R[2] = a * R[2] + value
        found.append({"o": R.mean(0), "last": R[3].copy()})
    return over_time(found)


@case(
    """
recurrence viterbi_soft:
    input  e[N]
    param  A[N, N], b[N]
    state  s[N] = b, best[N] = b
    s[j] = logsumexp(s[i] + A[i, j], axis=i) + e[j]
    best[j] = max(best[i] + A[i, j], axis=i) + e[j]
    gap[i, j] = e[i] - e[j]
    output s, best, spread = sum(abs(gap)), top = max(best)
    """,
    BOTH,
)
def viterbi_soft(x: Arrays, w: Arrays) -> Arrays:
    s, best, found = w["b"], w["b"], []
    for e in x["e"]:
        s = np.log(np.exp(s[:, None] + w["A"]).sum(0)) + e
        best = (best[:, None] + w["A"]).max(0) + e
        gap = np.abs(e[:, None] - e[None, :]).sum()
        found.append({"s": s, "best": best, "spread": gap, "top": best.max()})
    return over_time(found)


@case(
    """
recurrence mini_batch(b=3):
    input  q[K], k[K], v[V], rate in (0, 0.2)
    state  W[K, V] = 0.1
    anchor = hold(W, every=b)
    scale = hold(rate, every=2)
    W = W - scale * grad(sumsq(k @ anchor - v), anchor)
    output o[V] = q @ W
    """,
    BOTH,
)
def mini_batch(x: Arrays, w: Arrays) -> Arrays:
    W, anchor, scale, found = np.full((3, 2), 0.1), np.zeros((3, 2)), 0.0, []
    for t, (q, k, v, rate) in enumerate(zip(x["q"], x["k"], x["v"], x["rate"], strict=True)):
        anchor = W if t % 3 == 0 else anchor
        scale = rate if t % 2 == 0 else scale
        W = W - scale * 2 * np.outer(k, k @ anchor - v)
        found.append({"o": q @ W})
    return over_time(found)


@case(
    """
recurrence cells:
    input  x[C, X]
    param  W[C, C, 3], U[C, C, 3]
    state  h[C, X]
    h = 0.5 * h + 0.1 * conv(h, W, axis=X) + 0.1 * conv(x, U, axis=X, wrap=True) + 0.1 * roll(h, 1, axis=X)
    output h
    """,
    BOTH,
)
def cells(x: Arrays, w: Arrays) -> Arrays:
    def conv(values: np.ndarray, weights: np.ndarray, mode: str) -> np.ndarray:
        pairs = [
            [convolve1d(row, taps[::-1], mode=mode) for row, taps in zip(values, out, strict=True)] for out in weights
        ]
        return np.array(pairs).sum(1)

    h, found = np.zeros((2, 5)), []
    for value in x["x"]:
        h = (
            0.5 * h
            + 0.1 * conv(h, w["W"], "constant")
            + 0.1 * conv(value, w["U"], "wrap")
            + 0.1 * np.roll(h, 1, axis=1)
        )
        found.append({"h": h})
    return over_time(found)


@case(
    """
recurrence implicit_euler:
    input  x[D], step in (0, 1)
    param  A[D, D]
    state  h[D]
    h = solve(eye(D) + 0.1 * step * A @ A.T, h + step * x)
    output h, free[D] = solve(eye(D) + 0.1 * A @ A.T, x)
    """,
    BOTH,
)
def implicit_euler(x: Arrays, w: Arrays) -> Arrays:
    h, square, found = np.zeros(4), w["A"] @ w["A"].T, []
    for value, step in zip(x["x"], x["step"], strict=True):
        h = np.linalg.solve(np.eye(4) + 0.1 * step * square, h + step * value)
        found.append({"h": h, "free": np.linalg.solve(np.eye(4) + 0.1 * square, value)})
    return over_time(found)


@case(
    """
def both(x, y): return x + y, x * y
def erase(S[A, B], k[A]):
    u = l2norm(k)
    for j in 2:
        S = S - outer(u, u @ S) / A
    return S

recurrence helped(c=3):
    input  q[K], k[K], v[V], x[D], g
    param  w[D]
    state  S[K, V], h[D]
    def mix(r): return where(r > 0, w * r, c * r)
    total, product = both(sigmoid(g), 0.5)
    S = product * erase(S, k) + outer(k, v)
    h = mix(x) + total / 4 * (erase(outer(h, h), x) @ x)
    output o[V] = q @ S, h
    """,
    SEQUENTIAL,
)
def helped(x: Arrays, w: Arrays) -> Arrays:
    def erase(S: np.ndarray, k: np.ndarray) -> np.ndarray:
        u = k / np.linalg.norm(k)
        for _ in range(2):
            S = S - np.outer(u, u @ S) / len(k)
        return S

    S, h, found = np.zeros((3, 2)), np.zeros(4), []
    for q, k, v, value, g in zip(x["q"], x["k"], x["v"], x["x"], x["g"], strict=True):
        S = 0.5 * sigmoid(g) * erase(S, k) + np.outer(k, v)
        mixed = np.where(value > 0, w["w"] * value, 3 * value)
        h = mixed + (sigmoid(g) + 0.5) / 4 * erase(np.outer(h, h), value) @ value
        found.append({"o": q @ S, "h": h})
    return over_time(found)


@case(
    """
recurrence gated_choice:
    input  x[D], g
    param  w[D]
    state  h[D], count
    if g > 0.5:
        new = softmax(x) * h + w
        count = count + 1
    elif g > -0.5:
        new = h * rmsnorm(w)
    else:
        new = -h + layernorm(x) + sum(arange(D) * x) / D ** 2
        count = count / 2
    h = clamp(x, -1, 1) + 0.5 * new
    output h, count
    """,
    BOTH,
)
def gated_choice(x: Arrays, w: Arrays) -> Arrays:
    h, count, found = np.zeros(4), np.zeros(()), []
    for value, g in zip(x["x"], x["g"], strict=True):
        if g > 0.5:
            new = np.exp(value) / np.exp(value).sum() * h + w["w"]
            count = count + 1
        elif g > -0.5:
            new = h * w["w"] / np.sqrt((w["w"] ** 2).mean() + 1e-6)
        else:
            centred = value - value.mean()
            new = -h + centred / np.sqrt((centred**2).mean() + 1e-5) + (np.arange(4) * value).sum() / 16
            count = count / 2
        h = np.clip(value, -1, 1) + 0.5 * new
        found.append({"h": h, "count": count})
    return over_time(found)


@case(
    """
recurrence routed(m=2):
    input  q[K], k[K], v[V], w[m], lam[H, K] in (0, 1)
    param  R[K, K], norms[H]
    state  S[m, K, V], P[H, K]
    gate = softmax(w)
    S[a, c, d] = (1 - gate[a]) * S[a, c, d] + gate[a] * k[c] * v[d]
    P[a, c] = lam[a, c] * P[a, c] + norms[a] * sum(R[c, d] * k[d], axis=d)
    output o[V] = gate @ (q @ S), p[H, K] = P
    """,
    BOTH,
)
def routed(x: Arrays, w: Arrays) -> Arrays:
    S, P, found = np.zeros((2, 3, 2)), np.zeros((2, 3)), []
    for t in range(STEPS):
        gate = np.exp(x["w"][t]) / np.exp(x["w"][t]).sum()
        S = (1 - gate)[:, None, None] * S + gate[:, None, None] * np.outer(x["k"][t], x["v"][t])
        P = x["lam"][t] * P + np.outer(w["norms"], w["R"] @ x["k"][t])
        found.append({"o": np.einsum("m,k,mkv->v", gate, x["q"][t], S), "p": P})
    return over_time(found)


@pytest.mark.parametrize("name", CASES)
def test_meaning(name: str) -> None:
    """The interpreter computes what the spec's lines say in NumPy."""
    text, _, reference = CASES[name]
    recurrence = front(text).recurrences[0]
    rng = np.random.default_rng(len(name))
    inputs = {var.name: _sample(rng, var, (STEPS,)) for var in recurrence.inputs}
    params = {var.name: _sample(rng, var, ()) for var in recurrence.params}
    outputs, _, _ = run(recurrence, inputs, params)
    wanted = reference(inputs, params)
    assert outputs.keys() == wanted.keys()
    for key, values in wanted.items():
        np.testing.assert_allclose(outputs[key], values, rtol=1e-9, atol=1e-9, err_msg=key)


def _sample(rng: np.random.Generator, var, leading: tuple[int, ...]) -> np.ndarray:
    """Values for a variable in its promised range."""
    shape = leading + tuple(_extent(size) for size in var.sizes)
    if var.interval is None:
        values = rng.normal(size=shape)
        return values + 1j * rng.normal(size=shape) if var.complex else values
    low = -1.0 if var.interval.low is None else var.interval.low.value
    high = 1.0 if var.interval.high is None else var.interval.high.value
    return rng.uniform(low, high, size=shape)


def _extent(size: str | int) -> int:
    return size if isinstance(size, int) else {**SIZES, "n": 3 if size == "n" else 0, "m": 2}[size]


@pytest.mark.parametrize("name", CASES)
def test_every_method(name: str) -> None:
    """Every method that is admitted agrees with the interpreter, values and gradients, and no other is admitted."""
    text, methods, _ = CASES[name]
    assert {method.name for method in analyse(text).methods} == methods
    results = verify(text, lengths=(0, 1, 7))
    assert {result.method for result in results} == methods
    for result in results:
        assert result.passed, result
