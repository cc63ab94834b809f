"""Fixed points: a step is repeated until it changes nothing any more; derivatives are those of the solution."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

ROUNDING = 16  # units of rounding of the largest place: a smaller change says nothing
REPORTED: set[str] = set()


class Ending(NamedTuple):
    """When repetition ends: after a change of at most `tolerance * (1 + abs(y))` everywhere, or of `tolerance` times the
    largest place if `relative`, and after `rounds` steps at the latest. The last `features` dimensions are one solution,
    those before them hold others, each of which ends by itself; `what` is found, for messages."""

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
    return repeated(step, start, given, ending)


def repeated(step: Callable[..., Any], y: Tensor, given: Sequence[Tensor], ending: Ending) -> Tensor:
    """What repetition ends with. A solution that has ended is kept, so that it does not depend on those beside it."""
    moving: Tensor | None = None
    change = torch.zeros(())
    for _ in range(ending.rounds):
        (new,) = step((y,), given)
        change = (new - y).abs()
        settled = within(change, new.abs(), ending)
        y = new if moving is None else torch.where(moving, new, y)
        moving = ~settled if moving is None else moving & ~settled
        if not known(moving):
            continue
        if not moving.any():
            return y
    if moving is not None and known(moving):
        report(ending, change.masked_select(moving.expand(change.shape)).max().item())
    return y


def within(change: Tensor, size: Tensor, ending: Ending) -> Tensor:
    """Whether all places of a solution have changed by no more than is allowed."""
    dims = tuple(range(-ending.features, 0))
    largest = size.amax(dims, keepdim=True) if dims else size
    scale, whole = (largest, largest) if ending.relative else (1 + size, 1 + largest)
    limit = torch.maximum(ending.tolerance * scale, ROUNDING * torch.finfo(size.dtype).eps * whole)
    settled = change <= limit
    return settled.all(dims, keepdim=True) if dims else settled  # pyright: ignore[reportCallIssue, reportArgumentType]


def known(x: Tensor) -> bool:
    """Whether the values of a tensor can be looked at: not those of batches that torch makes of cotangents."""
    batched = torch._C._functorch.is_legacy_batchedtensor  # pyright: ignore[reportAttributeAccessIssue]
    return not batched(x)


def report(ending: Ending, change: float) -> None:
    """Tells, once for each fixed point, that it was not reached."""
    if ending.what not in REPORTED:
        REPORTED.add(ending.what)
        message = f"{ending.what} did not converge in {ending.rounds} rounds: the last one changed it by {change:.3g}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)


class FixedPoint(torch.autograd.Function):
    """`(step, ending, start, *given) -> y`; the gradient is that of the solution (implicit function theorem), whatever
    the start was, and can be differentiated itself."""

    @staticmethod
    def forward(step: Callable[..., Any], ending: Ending, start: Tensor, *given: Tensor) -> Tensor:
        y = repeated(step, start, given, ending)
        return y.clone() if any(y is t for t in (start, *given)) else y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.step, ctx.ending = inputs[0], inputs[1]
        ctx.save_for_backward(output, *inputs[3:])
        ctx.save_for_forward(output, *inputs[3:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        step, (y, *given) = ctx.step, ctx.saved_tensors

        def adjoint(u: Sequence[Tensor], beside: Sequence[Tensor]) -> tuple[Tensor]:
            g, y, *given = beside
            _, pull = torch.func.vjp(lambda y: step((y,), given)[0], y)
            return (g + pull(u[0])[0],)

        (g,) = grads
        u = solve_fixed_point(adjoint, g, (g, y, *given), **linear(ctx.ending, "gradient"))
        _, pull = torch.func.vjp(lambda *given: step((y,), given)[0], *given)
        return (None, None, None, *pull(u))

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:
        step, (y, *given) = ctx.step, ctx.saved_tensors
        moved = [torch.zeros_like(x) if dx is None else dx for x, dx in zip(given, tangents[3:], strict=True)]

        def push(y: Tensor, given: Sequence[Tensor], dy: Tensor, moved: Sequence[Tensor]) -> Tensor:
            """The tangent of a step, as the derivative of its pullback along the tangents."""
            u = torch.zeros_like(y)

            def pulled(u: Tensor) -> tuple[Tensor, ...]:
                _, pull = torch.func.vjp(lambda y, *given: step((y,), given)[0], y, *given)
                return pull(u)

            return torch.func.vjp(pulled, u)[1]((dy, *moved))[0]

        def tangent(dy: Sequence[Tensor], beside: Sequence[Tensor]) -> tuple[Tensor]:
            count = len(given)
            return (push(beside[0], beside[1 : 1 + count], dy[0], beside[1 + count :]),)

        beside = (y, *given, *moved)
        return solve_fixed_point(tangent, torch.zeros_like(y), beside, **linear(ctx.ending, "tangent"))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], *args: Any) -> tuple[Tensor, int]:
        step, ending, *tensors = args
        moved = [t.unsqueeze(0) if d is None else t.movedim(d, 0) for t, d in zip(tensors, in_dims[2:], strict=True)]
        return FixedPoint.apply(step, ending, *moved), 0  # pyright: ignore[reportReturnType]


def linear(ending: Ending, kind: str) -> dict[str, Any]:
    """How the linear equation of a derivative ends: by its own size, as it may be large or small."""
    found = ending._replace(rounds=2 * ending.rounds, relative=True, what=f"the {kind} of {ending.what}")
    return found._asdict()
