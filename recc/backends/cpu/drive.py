"""The functions of a kernel's library that a caller sees: they walk rows, and the steps of each, forwards or back."""

from __future__ import annotations

from dataclasses import dataclass

from recc.backends.cpu.names import Names
from recc.backends.cpu.statements import INDENT
from recc.backends.cpu.step import ALIGNED, StepPrinter, wrapped_list
from recc.ir.kernel import Array, Port

HEAD = "int {name}(int64_t *next, const int64_t *shape, void *const *data, const int64_t *strides) {{"


@dataclass(frozen=True)
class Tensor:
    """A tensor of a call: its port, its place in `data`, its element type, and the name of its pointer in a row."""

    port: Port
    place: int
    type: str
    name: str

    @property
    def stride(self) -> str:
        return f"strides[{self.place} * width]"


def pointer_type(tensor: Tensor, constant: bool) -> str:
    return f"{'const ' if constant else ''}{tensor.type} *"


class Driver:
    """Prints what one library function does with the tensors of a call."""

    def __init__(self, step: StepPrinter, names: Names, memory: str = "m", also: tuple[Array, ...] = ()):
        self.step, self._names, self._memory = step, names, memory
        self._arrays = {array.name: array for array in (*also, *step.kernel.arrays)}

    def declare(self, tensor: Tensor, begin: str, constant: bool = True, depth: int = 2, row: str = "row") -> str:
        kind = pointer_type(tensor, constant)
        return f"{INDENT * depth}{kind}const {tensor.name} = {self.address(tensor, begin, constant, row)};"

    def address(self, tensor: Tensor, begin: str, constant: bool, row: str) -> str:
        """Where a row of a tensor begins."""
        scale = "2 * " if tensor.port.complex else ""
        at = f"origin({row}, shape, strides + {tensor.place} * width, {begin})"
        return f"({pointer_type(tensor, constant)})data[{tensor.place}] + {scale}{at}"

    # --- a step's inputs and outputs ---

    def buffers(self, tensors: list[Tensor]) -> list[str]:
        """Fields of the memory where a step's values are while they are not where they belong."""
        return [
            f"real {self.local(part)}[{self.step.count(self._arrays[part])}]{ALIGNED};"
            for tensor in tensors
            for part in tensor.port.parts
        ]

    def buffer(self, part: str) -> str:
        return f"{self._memory}->{self.local(part)}"

    def load(self, tensor: Tensor, depth: int) -> list[str]:
        """A step's input as pointers to `real`, named as the kernel calls it."""
        indent, first = INDENT * depth, self._arrays[tensor.port.parts[0]]
        count, at = (
            self.step.count(first),
            f"{tensor.name} + {'2 * ' if tensor.port.complex else ''}t * {tensor.stride}",
        )
        buffers = [self.buffer(part) for part in tensor.port.parts]
        if tensor.port.complex:
            return [f"{indent}load_pair({', '.join(buffers)}, {at}, {count});"]
        local = self.local(tensor.port.parts[0])
        return [f"{indent}const real *const {local} = LOAD({buffers[0]}, {at}, {count});"]

    def fetch(self, tensor: Tensor, depth: int, back: bool = False, write: bool = False) -> list[str]:
        """Ask for a tensor's values of a step that is still to come, in a walk forwards or `back`."""
        if tensor.port.complex:
            return []
        count = self.step.count(self._arrays[tensor.port.parts[0]])
        at, turned = f"{tensor.name} + t * {tensor.stride}", f"{'!' if back else ''}shape[REVERSE]"
        return [f"{INDENT * depth}FETCH({at}, {turned}, {tensor.stride}, {count}, {int(write)});"]

    def place(self, tensor: Tensor, depth: int) -> list[str]:
        if tensor.port.complex:
            return []
        part = tensor.port.parts[0]
        at = f"{tensor.name} + t * {tensor.stride}"
        return [f"{INDENT * depth}real *const {self.local(part)} = PLACE({self.buffer(part)}, {at});"]

    def store(self, tensor: Tensor, depth: int) -> list[str]:
        indent, parts = INDENT * depth, tensor.port.parts
        count = self.step.count(self._arrays[parts[0]])
        if tensor.port.complex:
            buffers = ", ".join(self.buffer(part) for part in parts)
            return [f"{indent}store_pair({tensor.name} + 2 * t * {tensor.stride}, {buffers}, {count});"]
        return [f"{indent}STORE({tensor.name} + t * {tensor.stride}, {self.local(parts[0])}, {count});"]

    def local(self, part: str) -> str:
        return f"at_{self._names(part)}"

    def given(self, tensor: Tensor) -> list[str]:
        """What stands for the parts of a timed tensor where the step is called."""
        if tensor.port.complex:
            return [self.shaped(part, self.buffer(part)) for part in tensor.port.parts]
        part = tensor.port.parts[0]
        return [self.shaped(part, self.local(part))]

    def shaped(self, part: str, code: str) -> str:
        array = self._arrays[part]
        if len(array.sizes) < 2:
            return code
        constant = "" if array.storage in ("output", "next") else "const "
        return f"({constant}{self.step.pointer(array)}){code}"

    def call(self, what: str, arguments: list[str], depth: int, memory: str = "m") -> str:
        return wrapped_list(f"{self.step.prefix}_{what}(", [memory, *arguments], ");", depth=depth)

    # --- states and sums ---

    def copy(
        self, port: Port, outside: str, inside: str, *, save: bool, depth: int, arrow: str = "->", row: str = ""
    ) -> list[str]:
        """A port's elements, which lie in the order of its axes outside, copied to or from the kernel's arrays, or one
        `row` of these."""
        indent = INDENT * depth
        loops = [f"i_{place}" for place in range(len(port.sizes))]
        sizes = [self._size(size) for size in port.sizes]
        lines = [
            f"{indent}{INDENT * level}for (int {loop} = 0; {loop} < {size}; {loop}++)"
            for level, (loop, size) in enumerate(zip(loops, sizes, strict=True))
        ]
        flat = "0"
        for loop, size in zip(loops, sizes, strict=True):
            flat = (
                loop if flat == "0" else f"({flat}) * {size} + {loop}" if " " in flat else f"{flat} * {size} + {loop}"
            )
        own = row + "".join(f"[{loops[place]}]" for place in port.order)
        pairs = []
        for number, part in enumerate(port.parts):
            at = f"2 * ({flat}) + {number}" if port.complex else flat
            outer, inner = f"{outside}[{at}]", f"{inside}{arrow}{self._names(part)}{own}"
            pairs.append(f"{outer} = {inner}" if save else f"{inner} = {outer}")
        return [*lines, f"{indent}{INDENT * len(loops)}{', '.join(pairs)};"]

    def _size(self, size) -> str:
        return self._names(size) if isinstance(size, str) else str(size)

    def param(self, array: Array, port: Port, tensor: Tensor) -> str:
        """What stands for a param where a kernel's function is called."""
        return self.shaped(array.name, self.buffer(array.name) if port.complex else tensor.name)
