"""Equations of a spec as LaTeX, in the order and the words of the spec."""

from recc.typeset.equations import Row, latex, rows

__all__ = ["Row", "latex", "rows"]
