"""Scalar functions that the math module lacks, exact also for large arguments of either sign."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def logsigmoid(x: float) -> float:
    return -softplus(-x)


def silu(x: float) -> float:
    return x * sigmoid(x)


def logsumexp(values: list[float]) -> float:
    largest = max(values)
    return largest + math.log(sum(math.exp(x - largest) for x in values)) if largest > -math.inf else largest


def trailing_zeros(number: int) -> int:
    """Of a positive number in binary."""
    return (number & -number).bit_length() - 1


def relu(x: float) -> float:
    return max(x, 0.0)


def into(d: int, h: Sequence[float] | np.ndarray, U: np.ndarray) -> float:
    """What unit `d` receives from `h` where `U[a, b]` leads from unit a to unit b."""
    return sum(float(h[a]) * float(U[a, d]) for a in range(len(h)))
