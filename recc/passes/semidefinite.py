"""`Semidefinite` proves that a matrix, which a step adds to a state, has no negative eigenvalue."""

from __future__ import annotations

from collections.abc import Mapping

from recc.ir.build import is_const
from recc.ir.nodes import Axis, Binary, Expr, Let, Reduce, Ref, Where
from recc.ir.traverse import canonical, children, freshen, inline, substitute
from recc.passes.intervals import Intervals
from recc.passes.powers import Powers, powers
from recc.passes.split import diagonal


class Semidefinite:
    """Facts about matrices over two axes. Known are sums of: diagonals that are not negative, and `G @ W @ G.T` with
    such a diagonal `W` (an outer product of a vector with itself is one); a choice between two of these is one too."""

    def __init__(self, lets: Mapping[str, Let], intervals: Intervals, row: Axis, column: Axis) -> None:
        self._lets = lets
        self._intervals = intervals
        self._row, self._column = row, column

    def of(self, factors: tuple[Expr, ...]) -> bool:
        """Whether the product of some expressions, summed over all axes but the two, is positive semidefinite."""
        return self._product(powers(factors, self._lets))

    def _of(self, expr: Expr) -> bool:
        match expr:
            case Binary("add", x, y):
                return self.of((x,)) and self.of((y,))
            case Reduce("sum"):
                return self.of(children(freshen(expr)))
            case Where(test, x, y) if not self._crosses(test):
                return self.of((x,)) and self.of((y,))
            case _:
                return is_const(expr, 0)

    def _product(self, product: Powers) -> bool:
        both = [expr for expr in product.exprs if self._crosses(expr)]
        rest = Powers(product.number) * product.where(lambda expr: expr not in both)
        if not both:
            return self._mirrored(rest)
        (matrix, *others), counts = both, dict(product.exponents)
        if others or counts[matrix] != 1:
            return False
        while isinstance(matrix, Ref) and matrix.name in self._lets:
            matrix = inline(matrix, {matrix.name: self._lets[matrix.name]})
        found = diagonal(matrix, self._lets)
        if found is not None:
            return self._not_negative(rest * powers((found[2],), self._lets))
        alone = not any(axis in expr.axes for expr in rest.exprs for axis in (self._row, self._column))
        return alone and self._not_negative(rest) and self._of(matrix)

    def _crosses(self, expr: Expr) -> bool:
        return self._row in expr.axes and self._column in expr.axes

    def _mirrored(self, product: Powers) -> bool:
        """Whether rows and columns have the same factors, beside others that are not negative."""
        rows, columns = (product.where(lambda expr, axis=axis: axis in expr.axes) for axis in (self._row, self._column))
        turned = rows.mapped(lambda expr: canonical(substitute(expr, {self._row: self._column})))
        rest = product / rows / columns
        return turned == columns and self._not_negative(rest)

    def _not_negative(self, product: Powers) -> bool:
        return not_negative(product, self._intervals)


def not_negative(product: Powers, intervals: Intervals) -> bool:
    """Whether a product is known not to be negative: its number, and whatever stands in it to an odd power."""
    number = product.number
    even = all(count % 2 == 0 or intervals.of(expr).non_negative for expr, count in product.exponents)
    return not isinstance(number, complex) and number > 0 and even
