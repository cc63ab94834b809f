"""Values that are used once, put where they are used."""

from __future__ import annotations

from collections import Counter

from recc.ir.kernel import Assign, Choice, Define, Element, Local, Operation, Scalar, Statement

LARGEST_EXPRESSION = 10


def parts_of(value: Scalar) -> tuple[Scalar, ...]:
    match value:
        case Operation(_, args):
            return args
        case Choice(test, x, y):
            return (test, x, y)
        case _:
            return ()


def arrays_of(value: Scalar) -> set[str]:
    own = {value.array} if isinstance(value, Element) else set()
    return own.union(*(arrays_of(part) for part in parts_of(value)))


def merge_defines(lines: list[Statement]) -> list[Statement]:
    """Definitions that one line uses, once, put into that line while it stays small."""
    uses: Counter[str] = Counter()
    for line in lines:
        if isinstance(line, (Define, Assign)) and line.value is not None:
            uses.update(_locals(line.value))
    waiting: dict[str, Scalar] = {}
    kept: list[Statement] = []
    for line in lines:
        if isinstance(line, Define):
            value = _filled(line.value, waiting)
            if uses[line.name] == 1 and _weight(value) <= LARGEST_EXPRESSION:
                waiting[line.name] = value
            elif uses[line.name]:
                kept.append(Define(line.name, value, line.kind))
        elif isinstance(line, Assign):
            kept.append(Assign(line.target, _filled(line.value, waiting), line.combine))
        else:
            kept.append(line)
    return kept


def _locals(value: Scalar) -> list[str]:
    own = [value.name] if isinstance(value, Local) else []
    return own + [name for part in parts_of(value) for name in _locals(part)]


def _weight(value: Scalar) -> int:
    return 1 + sum(_weight(part) for part in parts_of(value))


def _filled(value: Scalar, known: dict[str, Scalar]) -> Scalar:
    match value:
        case Local(name) if name in known:
            return known[name]
        case Operation(op, args):
            return Operation(op, tuple(_filled(part, known) for part in args))
        case Choice(test, x, y):
            return Choice(_filled(test, known), _filled(x, known), _filled(y, known))
        case _:
            return value
