"""Sequences cut along an axis that nothing crosses: the pieces are lanes, which threads compute side by side.

How many pieces there are depends on shapes alone, so that results do not depend on the number of threads.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from torch import Tensor

from recc.runtime.arguments import Bound
from recc.runtime.autograd import feature_shape
from recc.runtime.program import Choice, Port, Spec
from recc.runtime.tiles import Tensors

SHARED_WORK = 2**17  # state elements times steps that are worth waking another thread for
ROWS_WANTED = 4  # rows that are side by side without any cut; narrow pieces take up to twice the work of wide ones
PIECE_LANES = 32  # positions of the axis that a piece has at least
PIECE_ELEMENTS = 2048  # state elements that a piece has at least: steps of smaller ones are mostly overhead
VECTOR = 16  # positions that a piece's are a multiple of


class Cut(NamedTuple):
    """An axis, in how many pieces it is cut, and before how many dimensions of lanes the pieces become one more."""

    axis: str
    count: int
    lanes: int

    def inner(self, bound: Bound) -> Bound:
        """The call that computes the pieces; its tensors are still to be split."""
        sizes = {**bound.sizes, self.axis: bound.sizes[self.axis] // self.count}
        return bound._replace(lanes=(*bound.lanes, self.count), sizes=sizes)

    def split(self, tensors: Sequence[Tensor], ports: Sequence[Port]) -> Tensors:
        """`(.., .., *lanes, *features)` as `(.., .., *lanes, pieces, *features)`; one piece where all are the same."""
        return tuple(self._split(tensor, port) for tensor, port in zip(tensors, ports, strict=True))

    def _split(self, tensor: Tensor, port: Port) -> Tensor:
        place = 2 + self.lanes
        if self.axis not in port.axes:
            return tensor.unsqueeze(place)
        along = place + port.axes.index(self.axis)
        return tensor.unflatten(along, (self.count, tensor.shape[along] // self.count)).movedim(along, place)

    def split_grads(self, grads: Sequence[Tensor | None], ports: Sequence[Port]) -> tuple[Tensor | None, ...]:
        """Cotangents, given to the first piece alone where all pieces are the same."""
        pairs = zip(grads, ports, strict=True)
        return tuple(None if grad is None else self._split_grad(grad, port) for grad, port in pairs)

    def _split_grad(self, grad: Tensor, port: Port) -> Tensor:
        if self.axis in port.axes:
            return self._split(grad, port)
        place = 2 + self.lanes
        whole = grad.new_zeros((*grad.shape[:place], self.count, *grad.shape[place:]))
        whole.select(place, 0).copy_(grad)
        return whole

    def join(self, tensors: Sequence[Tensor], ports: Sequence[Port]) -> Tensors:
        """The inverse of `split`, of pieces that are the same where a port has no such axis."""
        return tuple(self._join(tensor, port) for tensor, port in zip(tensors, ports, strict=True))

    def _join(self, tensor: Tensor, port: Port) -> Tensor:
        place = 2 + self.lanes
        if self.axis not in port.axes:
            return tensor.select(place, 0).contiguous()
        along = place + port.axes.index(self.axis)
        return tensor.movedim(place, along).flatten(along, along + 1).contiguous()

    def join_grads(self, grads: Sequence[Tensor], ports: Sequence[Port]) -> Tensors:
        """Cotangents of what was split."""
        pairs = zip(grads, ports, strict=True)
        return tuple(
            self._join(grad, port) if self.axis in port.axes else grad.sum(2 + self.lanes) for grad, port in pairs
        )


def choose_cut(spec: Spec, bound: Bound, choice: Choice, axis: str | None) -> Cut | None:
    """The smallest number of pieces that gives enough rows, of what pieces of a sensible size allow."""
    rows = bound.rows * prod(bound.lanes)
    if axis is None or choice.decoding or rows >= ROWS_WANTED:
        return None
    size = bound.sizes[axis]
    elements = sum(prod(feature_shape(port, bound.sizes)) for port in spec.signature.states if axis in port.axes)
    if rows * elements * bound.steps < SHARED_WORK:
        return None
    most = min(size // PIECE_LANES, elements // PIECE_ELEMENTS)
    counts = [count for count in range(2, most + 1) if size % (count * VECTOR) == 0]
    enough = [count for count in counts if rows * count >= ROWS_WANTED]
    count = enough[0] if enough else max(counts, default=1)
    return Cut(axis, count, len(bound.lanes)) if count > 1 else None
