"""Fixed points: a step is repeated until it changes nothing any more; derivatives are those of the solution."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

ROUNDING = 16  # units of rounding of the largest place: a smaller change says nothing
MISSED: set[str] = set()


class Ending(NamedTuple):
    """When repetition ends: after a change of at most `tolerance * (1 + abs(y))` everywhere, or of `tolerance` times
    the largest place if `relative`, and after `rounds` steps at the latest. The last `features` dimensions are one
    solution; those before them hold others, each of which ends by itself. `what` is found, for messages."""

    features: int
    tolerance: float
    rounds: int
    relative: bool
    what: str


def solve_fixed_point(
    step: Callable[..., Any],
    start: Tensor,
    given: tuple[Tensor, ...],
    *,
    features: int,
    tolerance: float,
    rounds: int,
    what: str,
    relative: bool = False,
) -> Tensor:
    """The `y` with `(y,) = step((y,), given)`, by repetition from `start`; differentiable in what is `given`.

    Where it does not converge, the last value counts, and a `RuntimeWarning` tells so once."""
    ending = Ending(features, tolerance, rounds, relative, what)
    if torch.is_grad_enabled() or torch._C._are_functorch_transforms_active():
        return FixedPoint.apply(step, ending, start, *given)  # pyright: ignore[reportReturnType]
    return repeat_step(step, start, given, ending)


def repeat_step(step: Callable[..., Any], y: Tensor, given: Sequence[Tensor], ending: Ending) -> Tensor:
    """What repetition ends with. A solution that has ended is kept, so that it does not depend on those beside it."""
    moving = torch.ones((), dtype=torch.bool, device=y.device)
    change = moving
    for _ in range(ending.rounds):
        (new,) = step((y,), given)
        change = (new - y).abs()
        y = torch.where(moving, new, y)
        moving = moving & ~has_settled(change, new.abs(), ending)
        if can_be_read(moving) and not moving.any():
            return y
    if can_be_read(moving):
        report_missed(ending.what, ending.rounds, change.masked_select(moving.expand(change.shape)).max().item())
    return y


def has_settled(change: Tensor, size: Tensor, ending: Ending) -> Tensor:
    """Whether all places of a solution have changed by no more than is allowed."""
    dims = tuple(range(-ending.features, 0))
    largest = size.amax(dims, keepdim=True) if dims else size
    scale, whole = (largest, largest) if ending.relative else (1 + size, 1 + largest)
    limit = torch.maximum(ending.tolerance * scale, ROUNDING * torch.finfo(size.dtype).eps * whole)
    settled = change <= limit
    return settled.all(dims, keepdim=True) if dims else settled  # pyright: ignore[reportCallIssue, reportArgumentType]


def can_be_read(x: Tensor) -> bool:
    """Whether the values of a tensor can be looked at: not those of batches that torch makes of cotangents."""
    batched = torch._C._functorch.is_legacy_batchedtensor  # pyright: ignore[reportAttributeAccessIssue]
    return not batched(x)


def report_missed(what: str, rounds: int, change: float) -> None:
    """Tells, once for each fixed point, that it was not reached."""
    if what not in MISSED:
        MISSED.add(what)
        message = f"{what} did not converge in {rounds} rounds: the last one changed it by {change:.3g}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)


class FixedPoint(torch.autograd.Function):
    """`(step, ending, start, *given) -> y`; the gradient is that of the solution (implicit function theorem), whatever
    the start was, and can be differentiated itself."""

    @staticmethod
    def forward(step: Callable[..., Any], ending: Ending, start: Tensor, *given: Tensor) -> Tensor:
        return repeat_step(step, start, given, ending)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.step, ctx.ending = inputs[0], inputs[1]
        ctx.save_for_backward(output, *inputs[3:])
        ctx.save_for_forward(output, *inputs[3:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        step, (y, *given), (g,) = ctx.step, ctx.saved_tensors, grads

        def adjoint(u: Sequence[Tensor], beside: Sequence[Tensor]) -> tuple[Tensor]:
            g, y, *given = beside
            return (g + pull_along(lambda y: step((y,), given)[0], (y,), u[0])[0],)

        u = solve_fixed_point(adjoint, g, (g, y, *given), **derivative_ending(ctx.ending, "gradient"))
        return (None, None, None, *pull_along(lambda *given: step((y,), given)[0], given, u))

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        step, (y, *given) = ctx.step, ctx.saved_tensors
        moved = [torch.zeros_like(x) if dx is None else dx for x, dx in zip(given, tangents[3:], strict=True)]
        count = 1 + len(given)

        def tangent(dy: Sequence[Tensor], beside: Sequence[Tensor]) -> tuple[Tensor]:
            directions = (dy[0], *beside[count:])
            return (push_along(lambda y, *given: step((y,), given)[0], beside[:count], directions),)

        return solve_fixed_point(
            tangent, torch.zeros_like(y), (y, *given, *moved), **derivative_ending(ctx.ending, "tangent")
        )

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Tensor, int]:
        step, ending, *tensors = args
        moved = [t.unsqueeze(0) if d is None else t.movedim(d, 0) for t, d in zip(tensors, in_dims[2:], strict=True)]
        return FixedPoint.apply(step, ending, *moved), 0  # pyright: ignore[reportReturnType]


def pull_along(function: Callable[..., Tensor], at: Sequence[Tensor], cotangent: Tensor) -> tuple[Tensor, ...]:
    """Cotangents of a function's arguments, of which any may lack dimensions that others were batched in."""
    if len(at) == 1:
        at = (at[0].expand(torch.broadcast_shapes(at[0].shape, cotangent.shape)),)
    result, pull, *_ = torch.func.vjp(function, *at)
    return pull(cotangent.expand(result.shape))


def push_along(function: Callable[..., Tensor], at: Sequence[Tensor], directions: Sequence[Tensor]) -> Tensor:
    """The derivative of a function along directions, as that of its pullback, which is linear."""
    shapes = [torch.broadcast_shapes(x.shape, dx.shape) for x, dx in zip(at, directions, strict=True)]
    at = [x.expand(shape) for x, shape in zip(at, shapes, strict=True)]
    directions = tuple(dx.expand(shape) for dx, shape in zip(directions, shapes, strict=True))
    result, *_ = torch.func.vjp(function, *at)

    def pulled(u: Tensor) -> tuple[Tensor, ...]:
        return torch.func.vjp(function, *at)[1](u)

    return torch.func.vjp(pulled, torch.zeros_like(result))[1](directions)[0]


def derivative_ending(ending: Ending, kind: str) -> dict[str, Any]:
    """How the linear equation of a derivative ends: by its own size, as it may be large or small."""
    found = ending._replace(rounds=2 * ending.rounds, relative=True, what=f"the {kind} of {ending.what}")
    return found._asdict()
