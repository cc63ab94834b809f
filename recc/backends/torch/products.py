"""Sums of products as PyTorch text: matrix products where two values meet, `einsum` where more axes do."""

from __future__ import annotations

from dataclasses import dataclass, replace

from recc.backends.torch.layout import ATOM, PRODUCT, SUM, Layout, Text
from recc.ir.nodes import Axis

REDUCTIONS = {"sum": "sum", "max": "amax", "min": "amin", "logsumexp": "logsumexp", "any": "any"}


@dataclass(kw_only=True)
class Products(Layout):
    """Prints reductions of texts."""

    def reduced(self, op: str, text: Text, over: tuple[Axis, ...]) -> Text:
        """A reduction, named as in the intermediate form, over axes that the text has."""
        places = tuple(place - len(text.axes) for place, axis in enumerate(text.axes) if axis in over)
        rest = tuple(axis for axis in text.axes if axis not in over)
        where_ = str(places[0]) if len(places) == 1 else str(places)
        return Text(f"{text.at(ATOM)}.{REDUCTIONS[op]}({where_})", rest, complex=text.complex)

    def contraction(self, texts: list[Text], over: tuple[Axis, ...]) -> Text:
        """A sum of a product: one axis at a time, the largest factor last, as matrix products where two meet."""
        if len(texts) == 2 and len(over) > 1 and all(set(over) <= set(text.axes) for text in texts):
            return self._einsum(texts[0], texts[1], over)
        for axis in sorted(over, key=lambda axis: sum(axis in text.axes for text in texts)):
            inside = [text for text in texts if axis in text.axes]
            outside = [text for text in texts if axis not in text.axes]
            inside.sort(key=lambda text: len(text.axes))
            while len(inside) > 2:
                inside = sorted([self.times(inside[0], inside[1]), *inside[2:]], key=lambda text: len(text.axes))
            pair = (
                self._contracted(inside[0], inside[1], axis)
                if len(inside) == 2
                else self.reduced("sum", inside[0], (axis,))
            )
            texts = outside + [pair]
        result = texts[0]
        for text in texts[1:]:
            result = self.times(result, text)
        return result

    def times(self, x: Text, y: Text) -> Text:
        """The elementwise product over the axes of both."""
        axes = self.order(tuple(dict.fromkeys(x.axes + y.axes)))
        code = f"{self.placed(x, axes).at(PRODUCT)} * {self.placed(y, axes).at(PRODUCT + 1)}"
        return Text(code, axes, PRODUCT, x.number and y.number, x.complex or y.complex)

    def _contracted(self, x: Text, y: Text, axis: Axis) -> Text:
        """The product of two texts summed over one axis that both have."""
        both = x.complex or y.complex
        if x.complex != y.complex:
            x, y = self.as_complex(x), self.as_complex(y)
        return replace(self._multiplied(x, y, axis), complex=both)

    @staticmethod
    def as_complex(text: Text) -> Text:
        """Matrix products do not promote a real factor."""
        return text if text.complex else Text(f"{text.at(SUM)} + 0j", text.axes, SUM, text.number, True)

    def _multiplied(self, x: Text, y: Text, axis: Axis) -> Text:
        if x.axes == y.axes == (axis,):
            return Text(f"{self.times(x, y).at(ATOM)}.sum(-1)", ())
        shared = [other for other in x.axes if other in y.axes and other != axis]
        left = [other for other in x.axes if other not in y.axes]
        right = [other for other in y.axes if other not in x.axes]
        if len(left) > 1 or len(right) > 1 or (not left and not right):
            return self._einsum(x, y, (axis,))
        rows = self.permuted(x, (*shared, *left, axis))
        columns = self.permuted(y, (*shared, axis, *right))
        lead = [":"] * len(shared)
        first = rows.at(PRODUCT) if left else self.viewed(rows, [*lead, "None", ":"])
        second = columns.at(PRODUCT + 1) if right else self.viewed(columns, [*lead, ":", "None"])
        product = f"{first} @ {second}"
        if left and right:
            return Text(product, (*shared, *left, *right), PRODUCT)
        return Text(f"({product}).squeeze({-2 if right else -1})", (*shared, *left, *right))

    def _einsum(self, x: Text, y: Text, over: tuple[Axis, ...]) -> Text:
        if x.complex != y.complex:
            x, y = self.as_complex(x), self.as_complex(y)
        axes = self.order(tuple(other for other in dict.fromkeys(x.axes + y.axes) if other not in over))
        letters = dict(zip(dict.fromkeys(x.axes + y.axes), "ijklmnopqrstuvwxyz", strict=False))
        subscripts = ["".join(letters[other] for other in group) for group in (x.axes, y.axes, axes)]
        code = f'torch.einsum("...{subscripts[0]},...{subscripts[1]}->...{subscripts[2]}", {x.code}, {y.code})'
        return Text(code, axes)
