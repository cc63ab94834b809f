"""What the language says of derivatives where there is none: ties, zeros, infinities, the side that is not taken."""

from __future__ import annotations

import math

INF = math.inf
# The step of a recurrence with inputs x[D], y, and an output z[D] or a scalar z; x; and the gradient of sum(z) for x.
RULES = {
    "max of two, tied": ("output z = max(x, y)", [2.0, 1.0, 3.0], 2.0, [0.5, 0.0, 1.0]),
    "min of two, tied": ("output z = min(x, y)", [2.0, 1.0, 3.0], 2.0, [0.5, 1.0, 0.0]),
    "max over an axis, tied": ("output z = max(x) + 0 * y", [2.0, 2.0, 1.0], 0.0, [0.5, 0.5, 0.0]),
    "min over an axis, tied": ("output z = min(x) + 0 * y", [1.0, 1.0, 1.0], 0.0, [1 / 3, 1 / 3, 1 / 3]),
    "max of nothing": ("output z = max(x, y)", [-INF, -INF, 0.0], -INF, [0.0, 0.0, 1.0]),
    "max of nothing over an axis": ("output z = max(x)\n    output w = y", [-INF] * 3, 0.0, [0.0] * 3),
    "logaddexp of nothing": ("output z = logaddexp(x, y)", [-INF, -INF, 0.0], -INF, [0.0, 0.0, 1.0]),
    "logsumexp of nothing": ("output z = logsumexp(x)\n    output w = y", [-INF] * 3, 0.0, [0.0] * 3),
    "logsumexp of one": ("output z = logsumexp(x)\n    output w = y", [-INF, 1.0, -INF], 0.0, [0.0, 1.0, 0.0]),
    "relu at zero": ("output z = relu(x) + 0 * y", [0.0, 1.0, -1.0], 0.0, [0.0, 1.0, 0.0]),
    "abs at zero": ("output z = abs(x) + 0 * y", [0.0, 1.0, -1.0], 0.0, [0.0, 1.0, -1.0]),
    "norm at zero": ("output z = norm(x) + 0 * y", [0.0, 0.0, 0.0], 0.0, [0.0, 0.0, 0.0]),
    "norm": ("output z = norm(x) + 0 * y", [3.0, 0.0, 4.0], 0.0, [0.6, 0.0, 0.8]),
    "log of a zero not taken": ("output z = where(x > 0, log(x), y)", [0.0, 2.0, -1.0], 0.0, [0.0, 0.5, 0.0]),
    "root of a zero not taken": ("output z = where(x > 0, sqrt(x), y)", [0.0, 4.0, -1.0], 0.0, [0.0, 0.25, 0.0]),
    "quotient by a zero not taken": ("output z = where(x == 0, y, y / x)", [0.0, 2.0, 1.0], 4.0, [0.0, -1.0, -4.0]),
    "an overflow not taken": ("output z = where(x < 700, exp(x), y)", [0.0, 1e4, 800.0], 0.0, [1.0, 0.0, 0.0]),
    "a chain not taken": (
        "r = log(x) * sqrt(x)\n    output z = where(x > 0, r * r, y)",
        [0.0, 1.0, -1.0],
        0.0,
        [0.0, 0.0, 0.0],
    ),
    "rolled after a choice": (
        "r = roll(log(x), 1, axis=D)\n    z[d] = where(d == 0, r[d], y)\n    output z",
        [0.0, -1.0, 4.0],
        0.0,
        [0.0, 0.0, 0.25],
    ),
    "one use taken, one not": (
        "r = log(x)\n    output z = where(x > 0, r, y) + where(x > 1, r, y)",
        [0.0, 1.0, 2.0],
        0.0,
        [0.0, 1.0, 1.0],
    ),
    "a choice inside of a sum": (
        "output z = sum(where(x > 0, log(x), 0)) + 0 * y",
        [0.0, 2.0, -3.0],
        0.0,
        [0.0, 0.5, 0.0],
    ),
}

NOT_TAKEN = [name for name in RULES if "not" in name.split() or "choice" in name]


def spec_of(name: str) -> str:
    """A recurrence `r` with the rule's step, and a state that has nothing to do with it."""
    return f"recurrence r:\n    input x[D], y\n    state s\n    s = 0.5 * s + 1\n    {RULES[name][0]}\n"
