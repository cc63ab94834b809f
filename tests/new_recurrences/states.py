"""New recurrences with vectors for states: delays, choices, complex numbers, algebras, convolutions."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import convolve1d

from tests.new_recurrences.cases import BOTH, STEPS, Arrays, case, over_time


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
        factor = (0.0, 0.5, x["t"][n], x["t"][n])[n % 4]
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
recurrence cells:
    input  x[C, X]
    param  W[C, C, 3], U[C, C, 3]
    state  h[C, X]
    h = 0.5 * h + 0.1 * conv(h, W, axis=X) + 0.1 * conv(x, U, axis=X, wrap=True) + 0.1 * roll(h, 1, axis=X)
    output h
    """,
    BOTH | {"convolution"},
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
