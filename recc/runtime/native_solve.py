"""A whole sequence in native code as one autograd node."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recc.runtime.native import run_backward, run_forward
from recc.runtime.native_plan import NativeCall
from recc.runtime.tiles import Tensors


def solve_natively(plan: NativeCall, x: Tensors, w: Tensors, s: Tensors) -> tuple[Tensors, Tensors]:
    """Outputs and final states, as one autograd node where a gradient may be asked for."""
    if torch.is_grad_enabled() and any(t.requires_grad for t in (*x, *w, *s)):
        flat: Tensors = SolveNatively.apply(plan, *x, *w, *s)  # pyright: ignore[reportAssignmentType]
        count = len(plan.spec.signature.outputs)
        return flat[:count], flat[count:]
    outputs, finals, _ = run_forward(plan, x, w, s, False)
    return outputs, finals


class SolveNatively(torch.autograd.Function):
    """`(plan, *inputs, *params, *initial states) -> (*outputs, *final states)`.

    Entry states, or what is kept of all steps, wait for the backward pass, which a torch program takes over when it is
    differentiated itself.
    """

    @staticmethod
    def forward(ctx: Any, plan: NativeCall, *tensors: Tensor) -> Tensors:
        x, w, s = split_native(plan, tensors)
        outputs, finals, entries = run_forward(plan, x, w, s, True)
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *entries)
        return (*outputs, *finals)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        plan: NativeCall = ctx.plan
        count = 1 if plan.past else len(plan.spec.signature.states)
        saved = ctx.saved_tensors  # once: each reading of it unpacks what a checkpoint holds
        tensors, entries = saved[:-count], saved[-count:]
        wanted = ctx.needs_input_grad[1:]
        if all(g is None for g in grads):
            return (None,) * (1 + len(tensors))
        if torch.is_grad_enabled() or any(needs_torch(g) for g in grads):
            return (None, *differentiate_by_torch(plan, tensors, grads, wanted))
        x, w, _ = split_native(plan, tensors)
        d_x, d_w, d_s = run_backward(plan, x, w, entries, grads)
        return (None, *(g if need else None for g, need in zip((*d_x, *d_w, *d_s), wanted, strict=True)))


def differentiate_by_torch(
    plan: NativeCall, tensors: Tensors, grads: Sequence[Tensor | None], wanted: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """The cotangents of all tensors that are wanted, in a way that can be differentiated again."""
    again = torch.is_grad_enabled()
    assert plan.by_torch is not None
    with torch.enable_grad():
        own = tuple(t.view_as(t) for t in tensors)
        outputs, finals = plan.by_torch(*split_native(plan, own))
        pairs = [(y, g) for y, g in zip((*outputs, *finals), grads, strict=True) if g is not None and y.requires_grad]
        given = [t for t, need in zip(own, wanted, strict=True) if need]
        results, cotangents = [y for y, _ in pairs], [g for _, g in pairs]
        found = iter(torch.autograd.grad(results, given, cotangents, create_graph=again, allow_unused=True))
    return tuple(next(found) if need else None for need in wanted)


def needs_torch(grad: Tensor | None) -> bool:
    """Whether a cotangent is no plain tensor: `torch.autograd.grad` with batches of them makes such."""
    batched = torch._C._functorch.is_legacy_batchedtensor  # pyright: ignore[reportAttributeAccessIssue]
    return grad is not None and (batched(grad) or torch._C._are_functorch_transforms_active())


def split_native(plan: NativeCall, tensors: Sequence[Tensor]) -> tuple[Tensors, Tensors, Tensors]:
    """Inputs, params and states from their concatenation."""
    inputs, states = len(plan.spec.signature.inputs), len(plan.spec.signature.states)
    return tuple(tensors[:inputs]), tuple(tensors[inputs : len(tensors) - states]), tuple(tensors[-states:])
