"""`Range`: an interval of real values with open or closed ends, and its arithmetic.

A closed infinite end means that infinity itself is possible. Facts hold for values that are not NaN."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

INF = math.inf


@dataclass(frozen=True)
class Range:
    low: float = -INF
    high: float = INF
    low_open: bool = False
    high_open: bool = False

    @property
    def positive(self) -> bool:
        return self.low > 0 or (self.low == 0 and self.low_open)

    @property
    def non_negative(self) -> bool:
        return self.low >= 0

    @property
    def negative(self) -> bool:
        return self.high < 0 or (self.high == 0 and self.high_open)

    @property
    def text(self) -> str:
        """As explanations write it: "in (0, 1]", "positive", "at most 1", "may be negative"."""
        if self.low == 0 and self.high == INF:
            return "positive" if self.low_open else "not negative"
        if math.isinf(self.low) and math.isinf(self.high):
            return "may be negative"
        if self.low == self.high:
            return f"equal to {self.low:g}"
        if math.isinf(self.low):
            return f"{'below' if self.high_open else 'at most'} {self.high:g}"
        if math.isinf(self.high):
            return f"{'above' if self.low_open else 'at least'} {self.low:g}"
        left, right = "(" if self.low_open else "[", ")" if self.high_open else "]"
        return f"in {left}{self.low:g}, {self.high:g}{right}"

    def __neg__(self) -> Range:
        return Range(-self.high, -self.low, self.high_open, self.low_open)

    def __add__(self, other: Range) -> Range:
        low, high = self.low + other.low, self.high + other.high
        if math.isnan(low) or math.isnan(high):
            return UNKNOWN
        low_closed = not (self.low_open or other.low_open) or _attained(-INF, self, other)
        high_closed = not (self.high_open or other.high_open) or _attained(INF, self, other)
        return Range(low, high, not low_closed, not high_closed)

    def __mul__(self, other: Range) -> Range:
        corners = [_corner(a, b) for a in self._ends() for b in other._ends()]
        low = min(corners, key=lambda end: (end[0], end[1]))
        high = max(corners, key=lambda end: (end[0], not end[1]))
        return Range(low[0], high[0], low[1], high[1])

    def reciprocal(self) -> Range:
        """`1 / x`; everything if zero is possible on both sides."""
        if self.negative:
            return -(-self).reciprocal()
        if not self.positive:
            return UNKNOWN
        low, high = (INF if end == 0 else 1 / end for end in (self.high, self.low))
        return Range(low, high, self.high_open, self.low_open)

    def _ends(self) -> tuple[tuple[float, bool], tuple[float, bool]]:
        return (self.low, self.low_open), (self.high, self.high_open)

    def hull(self, other: Range) -> Range:
        """Everything in either, and between."""
        low = min((self.low, self.low_open), (other.low, other.low_open))
        high = max((self.high, not self.high_open), (other.high, not other.high_open))
        return Range(low[0], high[0], low[1], not high[1])

    def within(self, other: Range) -> Range:
        """What is in both."""
        low = max((self.low, self.low_open), (other.low, other.low_open))
        high = min((self.high, not self.high_open), (other.high, not other.high_open))
        return Range(low[0], high[0], low[1], not high[1])

    def larger(self, other: Range) -> Range:
        """The larger of two values."""
        low = max((self.low, self.low_open), (other.low, other.low_open))
        high = max((self.high, not self.high_open), (other.high, not other.high_open))
        return Range(low[0], high[0], low[1], not high[1])

    def mapped(self, function: Callable[[float], float]) -> Range:
        """The image under an increasing function."""
        return Range(function(self.low), function(self.high), self.low_open, self.high_open)


UNKNOWN = Range()
FINITE = Range(low_open=True, high_open=True)
POSITIVE = Range(0.0, INF, True, True)


def _attained(end: float, x: Range, y: Range) -> bool:
    """Whether a sum can be infinite because one of the values can."""
    return any((r.low if end < 0 else r.high) == end and not (r.low_open if end < 0 else r.high_open) for r in (x, y))


def _corner(a: tuple[float, bool], b: tuple[float, bool]) -> tuple[float, bool]:
    """The product of two ends, zero times infinity being zero; open unless it is attained."""
    zeros = [end for end in (a, b) if end[0] == 0]
    if zeros:
        return 0.0, all(opened for _, opened in zeros)
    return a[0] * b[0], a[1] or b[1]
