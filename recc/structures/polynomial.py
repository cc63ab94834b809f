"""Numbers of operations as polynomials in sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from recc.ir.nodes import Size


@dataclass(frozen=True)
class Polynomial:
    """A sum of monomials: `{("K", "V"): 2}` is `2*K*V`."""

    terms: tuple[tuple[tuple[str, ...], int], ...] = ()

    @staticmethod
    def product(sizes: Iterable[Size], coefficient: int = 1) -> Polynomial:
        """The product of sizes, of which some may be numbers, and a coefficient."""
        names: list[str] = []
        for size in sizes:
            if isinstance(size, int):
                coefficient *= size
            else:
                names.append(size)
        return Polynomial(_collected([(tuple(sorted(names)), coefficient)]))

    def __add__(self, other: Polynomial) -> Polynomial:
        return Polynomial(_collected([*self.terms, *other.terms]))

    def __mul__(self, other: Polynomial) -> Polynomial:
        pairs = [(tuple(sorted(a + b)), m * n) for a, m in self.terms for b, n in other.terms]
        return Polynomial(_collected(pairs))

    @property
    def order(self) -> tuple[int, int]:
        """A rough size, to compare by: the most sizes multiplied, then the sum of the coefficients."""
        return max((len(names) for names, _ in self.terms), default=-1), sum(count for _, count in self.terms)

    def at(self, sizes: Mapping[str, int]) -> int:
        """The value at given sizes. Raises `KeyError` for a size that is missing."""
        total = 0
        for names, coefficient in self.terms:
            for name in names:
                coefficient *= sizes[name]
            total += coefficient
        return total

    def __str__(self) -> str:
        return " + ".join(_monomial(names, coefficient) for names, coefficient in self.terms) or "0"


def _collected(pairs: Iterable[tuple[tuple[str, ...], int]]) -> tuple[tuple[tuple[str, ...], int], ...]:
    totals: Counter[tuple[str, ...]] = Counter()
    for names, coefficient in pairs:
        totals[names] += coefficient
    return tuple(sorted((names, count) for names, count in totals.items() if count))


def _monomial(names: tuple[str, ...], coefficient: int) -> str:
    factors = [f"{name}**{count}" if count > 1 else name for name, count in Counter(names).items()]
    return "*".join(([str(coefficient)] if coefficient != 1 or not factors else []) + factors)
