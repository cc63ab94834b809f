"""Operations that PyTorch has no single name for; a module gets the source of those that it uses."""

import torch
from torch import Tensor


def count_trailing_zeros(x: Tensor) -> Tensor:
    """The number of trailing zero bits of whole numbers; of 0 it is 0."""
    whole = x.long()
    return torch.log2((whole & -whole).clamp(min=1).to(x.dtype))


def windows(x: Tensor, dim: int, taps: int, wrap: bool) -> Tensor:
    """Neighbourhoods along `dim` as a new last dim: `out[i, r] = x[i + r - taps // 2]`, zero or wrapped outside."""
    size, positions = x.shape[dim], torch.arange(x.shape[dim], device=x.device)
    places = positions[:, None] + torch.arange(taps, device=x.device) - taps // 2
    moved = x.movedim(dim, -1)[..., places % size]
    if not wrap:
        moved = torch.where((places >= 0) & (places < size), moved, torch.zeros((), dtype=x.dtype, device=x.device))
    return moved.movedim(-2, dim - 1)


def fold_windows(x: Tensor, dim: int, wrap: bool) -> Tensor:
    """The transpose of `windows`: `out[i] = sum over r of x[i - r + taps // 2, r]`; `dim` counts without the taps."""
    moved = x.movedim(dim - 1, -2)
    size, taps = moved.shape[-2:]
    positions, shifts = torch.arange(size, device=x.device), torch.arange(taps, device=x.device)
    places = positions[:, None] - shifts + taps // 2
    taken = moved.gather(-2, (places % size).expand(moved.shape))
    if not wrap:
        taken = torch.where((places >= 0) & (places < size), taken, torch.zeros((), dtype=x.dtype, device=x.device))
    return taken.sum(-1).movedim(-1, dim)
