"""Every invariant of the IR, broken one at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recc.ir.check import check
from recc.ir.nodes import (
    Arange,
    Axis,
    Binary,
    Const,
    Expr,
    Fold,
    Interval,
    Let,
    Output,
    Promise,
    Recurrence,
    Reduce,
    Ref,
    Roll,
    SizeOf,
    Solve,
    State,
    Unary,
    Var,
    Where,
    Window,
)
from tests.ir.random_programs import random_recurrence

K, V, BOUND, TAP = Axis("K"), Axis("V"), Axis("K", "b"), Axis("V", "t")
x, y, z, h = Ref("x", (K,)), Ref("y", (V,)), Ref("z", (), "complex"), Ref("h", (K,))
SOUND = Recurrence(
    "sound",
    inputs=(Var("x", ("K",)), Var("y", ("V",)), Var("z", complex=True)),
    params=(Var("W", ("K", "K")), Var("P", (2, "K"))),
    states=(State(Var("h", ("K",)), Const(0)),),
    lets=(Let("a", (K,), Binary("mul", x, h)),),
    updates=(Ref("a", (K,)),),
    outputs=(Output(Var("o"), Reduce("sum", Ref("a", (BOUND,)), (BOUND,))),),
)
TRUE = Binary("lt", x, h)


def with_let(expr: Expr, axes: tuple[Axis, ...] = (K,)) -> Recurrence:
    return replace(SOUND, lets=(*SOUND.lets, Let("bad", axes, expr)))


def test_a_sound_recurrence() -> None:
    assert check(SOUND) == []


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_are_sound(seed: int) -> None:
    assert check(random_recurrence(np.random.default_rng(seed), complex=seed % 2 == 0)) == []


@pytest.mark.parametrize(
    ("expr", "message"),
    [
        (Ref("later"), "`later` is read before it is defined"),
        (Ref("x", ()), "`x` has 1 places, and is read with 0"),
        (Ref("x", (K,), "complex"), "`x` is real, and is read as complex"),
        (Ref("P", (2, K)), "`P` has no place 2 along `2`"),
        (Ref("x", (-1,)), "`x` has no place -1 along `K`"),
        (Reduce("sum", Ref("x", (V,)), (V,)), "`x` is read along `V` where it has `K`"),
        (y, "the axis `V` is neither bound nor an axis of the name"),
        (SizeOf("Z"), "the size `Z` stands in no input or param"),
        (Reduce("sum", Arange(Axis("Z", "b")), (Axis("Z", "b"),)), "the size `Z` stands in no input or param"),
        (Unary("silu", x), "`silu` is not an operation on one value"),
        (Binary("atan2", x, x), "`atan2` is not an operation on two values"),
        (Reduce("prod", Ref("x", (BOUND,)), (BOUND,)), "`prod` is not a reduction"),
        (Unary("log", z), "`log` is not defined for complex values"),
        (Binary("max", z, x), "`max` is not defined for complex values"),
        (Binary("lt", z, x), "an operand of `lt` is complex, not real"),
        (Reduce("max", Binary("mul", z, Ref("x", (BOUND,))), (BOUND,)), "`max` is not defined for complex values"),
        (Unary("exp", TRUE), "the operand of `exp` is bool, not a number"),
        (Binary("add", TRUE, x), "an operand of `add` is bool, not a number"),
        (Binary("eq", TRUE, x), "an operand of `eq` is bool, not real"),
        (Unary("not", x), "the operand of `not` is real, not bool"),
        (Binary("and", TRUE, x), "an operand of `and` is real, not bool"),
        (Reduce("sum", Binary("lt", Ref("x", (BOUND,)), x), (BOUND,)), "the operand of `sum` is bool, not a number"),
        (Reduce("any", Ref("x", (BOUND,)), (BOUND,)), "the operand of `any` is real, not bool"),
        (Where(x, x, x), "the condition of `where` is real, not bool"),
        (Where(TRUE, x, TRUE), "`where` chooses between a real and a bool value"),
        (Reduce("sum", x, ()), "`sum` over no axis"),
        (Reduce("sum", x, (BOUND,)), "`sum` along `K`(b), which its operand does not have"),
        (Reduce("sum", Ref("x", (BOUND,)), (BOUND, BOUND)), "an axis is bound twice"),
        (Binary("add", x, Reduce("sum", x, (K,))), "the bound axis `K` is in use outside"),
        (Roll(Const(1), K, 1), "`roll` along `K`, which its operand does not have"),
        (Window(x, V, TAP), "`window` along `V`, which its operand does not have"),
        (Window(Binary("mul", x, Ref("y", (TAP,))), K, TAP), "the axis `V`(t) that `window` adds is there already"),
        (Fold(x, K, TAP), "`fold` along `V`(t), which its operand does not have"),
        (Fold(TRUE, K, K), "`fold` has one axis `K` for both of its own"),
        (Solve(Ref("W", (BOUND, K)), x, BOUND, K), "the right side of `solve` has the axis `K` of its result"),
        (Solve(x, Ref("x", (BOUND,)), BOUND, K), "`solve` along `K`(b), which its operand does not have"),
        (
            Solve(Binary("mul", y, Ref("x", (BOUND,))), Ref("x", (BOUND,)), BOUND, V),
            "`solve` needs two axes of one size, not `K`(b) and `V`",
        ),
    ],
)
def test_an_unsound_expression(expr: Expr, message: str) -> None:
    assert f"let `bad`: {message}" in check(with_let(expr))


@pytest.mark.parametrize(
    ("recurrence", "message"),
    [
        (with_let(Ref("bad", (K,))), "let `bad`: `bad` is read before it is defined"),
        (with_let(x, (Axis("K", "i"),)), "let `bad`: its axes are not numbered by occurrence of the size"),
        (replace(SOUND, lets=SOUND.lets * 2), "the name `a` is defined 2 times"),
        (replace(SOUND, outputs=SOUND.outputs * 2), "the output `o` is defined 2 times"),
        (replace(SOUND, updates=()), "1 states but 0 updates"),
        (replace(SOUND, updates=(y,)), "update of `h`: the axis `V` is neither bound nor an axis of the name"),
        (replace(SOUND, updates=(z,)), "update of `h`: a complex value is given to a real name"),
        (replace(SOUND, updates=(TRUE,)), "update of `h`: a bool value is given to a real name"),
        (replace(SOUND, outputs=(Output(Var("o"), z),)), "output `o`: a complex value is given to a real name"),
        (
            replace(SOUND, totals=(Output(Var("d"), x),)),
            "total `d`: the axis `K` is neither bound nor an axis of the name",
        ),
        (replace(SOUND, states=(State(Var("h", ("K",)), x),)), "start of `h`: `x` is read before it is defined"),
        (replace(SOUND, states=(State(Var("h", ("Z",)), Const(0)),)), "`h`: the size `Z` stands in no input or param"),
        (replace(SOUND, inputs=(*SOUND.inputs, Var("w", (0,)))), "`w`: an axis of size 0"),
        (
            replace(SOUND, inputs=(*SOUND.inputs, Var("w", interval=Interval(Const(0), Const(1j))))),
            "`w`: a bound is complex, not real",
        ),
        (replace(SOUND, promises=(Promise(x, "x"),)), "assert `x`: the test is real, not bool"),
    ],
)
def test_an_unsound_recurrence(recurrence: Recurrence, message: str) -> None:
    assert message in check(recurrence)


def test_a_complex_name_may_hold_a_real_value() -> None:
    assert (
        check(
            replace(SOUND, states=(State(Var("h", ("K",), complex=True), Const(0)),), lets=(), updates=(x,), outputs=())
        )
        == []
    )


def test_sizes_known_when_compiling_need_no_array() -> None:
    assert check(replace(with_let(SizeOf("n")), sizes=(("n", 2),))) == []
