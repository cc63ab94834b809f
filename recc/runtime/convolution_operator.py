"""Convolutions under torch.compile: made inside of an operator, and made again for its gradient."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from recc.runtime.convolution import Convolve, solve_by_convolution
from recc.runtime.operator import Static, plan_for
from recc.runtime.packing import pack, sequence_lengths, solve_packed
from recc.runtime.program import Convolver, Spec
from recc.runtime.tiles import Tensors


def convolve_flat(spec: Spec, x: Tensors, w: Tensors, s: Tensors, static: Static) -> tuple[Tensors, Tensors]:
    """Outputs and final states by convolutions, as ordinary torch."""

    def dense(x: Tensors, w: Tensors, s: Tensors) -> tuple[Tensors, Tensors]:
        return solve_by_convolution(plan_for(spec, static, x), x, w, s)

    if static.cu_seqlens is None:
        return dense(x, w, s)
    packing = pack(sequence_lengths(static.cu_seqlens, x[0].shape[1]), static.reverse, x[0].device)
    return solve_packed(dense, x, w, s, packing)


def differentiate_convolution(
    spec: Spec, x: Tensors, w: Tensors, s: Tensors, grads: Sequence[Tensor | None], static: Static
) -> list[Tensor]:
    """Cotangents of inputs, params and initial states through convolutions that are made again."""
    leaves = [t.detach().requires_grad_() for t in (*x, *w, *s)]
    with torch.enable_grad(), recording():
        nx, nw = len(x), len(x) + len(w)
        outputs, finals = convolve_flat(spec, tuple(leaves[:nx]), tuple(leaves[nx:nw]), tuple(leaves[nw:]), static)
        pairs = [(t, g) for t, g in zip((*outputs, *finals), grads, strict=True) if g is not None and t.requires_grad]
        values, cotangents = [t for t, _ in pairs], [g for _, g in pairs]
        found = torch.autograd.grad(values, leaves, cotangents, allow_unused=True) if pairs else [None] * len(leaves)
    return [torch.zeros_like(leaf) if g is None else g for leaf, g in zip(leaves, found, strict=True)]


def recording() -> AbstractContextManager[Any]:
    """Autograd, which is switched off inside of an operator."""
    excluded = torch._C._dispatch_tls_local_exclude_set()
    autograd = torch._C.DispatchKeySet(torch._C.DispatchKey.AutogradFunctionality)
    return torch._C._ForceDispatchKeyGuard(torch._C._dispatch_tls_local_include_set(), excluded - autograd)


CONVOLVER = Convolver(Convolve, convolve_flat, differentiate_convolution)
