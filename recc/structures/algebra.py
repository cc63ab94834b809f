"""The algebras in which a recurrence can be linear: what plays the part of the sum and what that of the product."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Algebra:
    """A semiring by its IR operations.

    `plus` and `reduce` add, and `zero` is neutral; `times` multiplies, `one` is neutral, and `over` undoes it.
    `plus_one` adds one: in (max,+) that is `relu(x) = max(x, 0)`."""

    name: str
    plus: str
    reduce: str
    zero: float
    times: str
    one: float
    over: str
    plus_one: str = ""


REAL = Algebra("(+,x)", "add", "sum", 0.0, "mul", 1.0, "div")
MAX_PLUS = Algebra("(max,+)", "max", "max", -math.inf, "add", 0.0, "sub", "relu")
MIN_PLUS = Algebra("(min,+)", "min", "min", math.inf, "add", 0.0, "sub")
LOG_SUM = Algebra("(logsumexp,+)", "logaddexp", "logsumexp", -math.inf, "add", 0.0, "sub", "softplus")

SEMIRINGS = (MAX_PLUS, MIN_PLUS, LOG_SUM)
LINEAR_FRACTIONAL = "linear-fractional"
