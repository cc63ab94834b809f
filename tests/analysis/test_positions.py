"""What is read at a fixed position, where only that position counts."""

from recc.ir.nodes import Arange, Axis, Binary, Const, Reduce, Ref, Roll, Where
from recc.passes.positions import at_position

FIRST, SECOND = Axis(2, 0), Axis(2, 1)
AXES = {"S": (FIRST, SECOND)}


def choice(x) -> Where:
    return Where(Binary("eq", Arange(FIRST), Const(0)), x, Const(0))


def test_the_fixed_axis_takes_the_place() -> None:
    assert at_position(choice(Ref("S", (0, SECOND))), AXES) == Ref("S", (FIRST, SECOND))


def test_other_positions_and_other_axes_stay() -> None:
    for index in ((1, SECOND), (FIRST, 0), (SECOND, 0)):
        assert at_position(choice(Ref("S", index)), AXES) == Ref("S", index)
    assert at_position(choice(Ref("k", (0, SECOND))), AXES) == Ref("k", (0, SECOND))


def test_nothing_is_captured() -> None:
    read = Ref("S", (0, SECOND))
    for inside in (Reduce("sum", Binary("mul", Arange(FIRST), read), (FIRST,)), Roll(read, FIRST, 1)):
        assert at_position(choice(inside), AXES) == inside
    free = Reduce("sum", read, (SECOND,))
    assert at_position(choice(free), AXES) == Reduce("sum", Ref("S", (FIRST, SECOND)), (SECOND,))


def test_other_conditions_say_nothing() -> None:
    read = Ref("S", (0, SECOND))
    assert at_position(Where(Binary("le", Arange(FIRST), Const(0)), read, Const(0)), AXES) == read
