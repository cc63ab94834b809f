"""The text of a value and of its axes: dimensions inserted, swapped and named.

Every value is a tensor whose leading dimensions (batch, time or tiles, lanes) broadcast, followed by its feature axes
in a known order; `Text` carries the code and that order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from recc.ir.nodes import Axis, Size

# Python precedences: a text is put in brackets where it stands under an operator that binds more tightly.
ATOM, POWER, SIGN, PRODUCT, SUM, BIT_AND, BIT_OR, COMPARE = 9, 8, 7, 6, 5, 4, 3, 2


@dataclass(frozen=True)
class Text:
    """Code, the axes of what it computes in order, how tightly it binds, and whether it is a Python number."""

    code: str
    axes: tuple[Axis, ...] = ()
    binds: int = ATOM
    number: bool = False
    complex: bool = False

    def at(self, binds: int) -> str:
        """The code, in brackets if it binds less tightly than what is around it."""
        return self.code if self.binds >= binds else f"({self.code})"


@dataclass
class Views:
    """Views of variables with dimensions inserted or swapped: code -> name. They are made once for all steps, because
    in a step such a view costs as much as arithmetic. `variables` are those that are there before the steps."""

    variables: set[str]
    taken: set[str]
    made: dict[str, str] = field(default_factory=dict)
    bases: dict[str, str] = field(default_factory=dict)

    def name(self, variable: str, suffix: str, what: str) -> str:
        """The name of a view, made up if it is new."""
        code = variable + suffix
        if code not in self.made:
            name, number = f"{variable}_{what}", 1
            while name in self.taken:
                number += 1
                name = f"{variable}_{what}_{number}"
            self.taken.add(name)
            self.made[code], self.bases[code] = name, variable
        return self.made[code]


@dataclass(kw_only=True)
class Layout:
    """Puts the axes of values in an order, that of the recurrence's variables if nothing else is asked for.

    `ranks` says which size comes before which, `sizes` has those that are known when compiling; the names of the others
    are collected in `used_sizes`."""

    sizes: dict[str, int]
    ranks: dict[Size, int] = field(default_factory=dict)
    views: Views | None = None
    used_sizes: dict[str, None] = field(default_factory=dict)

    def size(self, size: Size) -> Text:
        """A size as a Python number."""
        if isinstance(size, str) and size not in self.sizes:
            self.used_sizes[size] = None
            return Text(size, number=True)
        return Text(str(self.sizes[size] if isinstance(size, str) else size), number=True)

    def order(self, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        """Axes in the order in which the recurrence's variables have them, so that few values need transposing."""
        return tuple(sorted(axes, key=lambda axis: self.ranks.get(axis.size, len(self.ranks))))

    def placed(self, text: Text, axes: tuple[Axis, ...]) -> Text:
        """A text with these axes, size 1 along those that it lacks; a Python number stays one."""
        if text.axes == axes or text.number:
            return text
        order = tuple(axis for axis in axes if axis in text.axes)
        text = self.permuted(text, order)
        if order == axes:
            return text
        places = [":" if axis in order else "None" for axis in axes]
        return Text(self.viewed(text, places), axes, complex=text.complex)

    def viewed(self, text: Text, places: list[str]) -> str:
        """Dimensions inserted: in a step, of a variable that is there before, as a view made for all steps."""
        suffix = f"[..., {_shortest(places)}]"
        if self.views is None or text.code not in self.views.variables:
            return f"{text.at(ATOM)}{suffix}"
        what = {":None": "col", "None:": "row"}.get("".join(places), "wide")
        return self.views.name(text.code, suffix, what)

    def permuted(self, text: Text, order: tuple[Axis, ...]) -> Text:
        """A text with its axes in another order."""
        if text.axes == order:
            return text
        return replace(self._moved(text, order), complex=text.complex)

    def _moved(self, text: Text, order: tuple[Axis, ...]) -> Text:
        count = len(order)
        moved = [place for place in range(count) if text.axes[place] != order[place]]
        if len(moved) == 2:
            first, second = (place - count for place in moved)
            swap = ".mT" if (first, second) == (-2, -1) else f".transpose({first}, {second})"
            if self.views is not None and text.code in self.views.variables:
                return Text(self.views.name(text.code, swap, "T"), order)
            return Text(f"{text.at(ATOM)}{swap}", order)
        source = tuple(text.axes.index(axis) - count for axis in order)
        target = tuple(range(-count, 0))
        return Text(f"{text.at(ATOM)}.movedim({source}, {target})", order)


def _shortest(places: list[str]) -> str:
    """The colons before the first `None` go without saying after `...`."""
    return ", ".join(places[places.index("None") :])
