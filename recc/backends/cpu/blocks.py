"""What library functions do with the tensors of a block: rows that are walked side by side."""

from __future__ import annotations

from recc.backends.cpu.drive import Driver, Tensor, pointer_type
from recc.backends.cpu.names import Names
from recc.backends.cpu.statements import INDENT
from recc.backends.cpu.step import ALIGNED, StepPrinter
from recc.backends.cpu.walk import param_lines
from recc.ir.kernel import Array

ROW = "block.row[row]"
EACH_ROW = "for (int row = me->first; row < me->end; row++)"
CLEARED = "memset({0}, 0, sizeof *{0});"
PAST = """        /* What is kept of all steps, where that is wanted. */
        struct states *const past = data[{0}] ? (struct states *)data[{0}] + block.path : NULL;"""


class Blocks:
    """What both functions have in common: lines of C for the tensors of a block."""

    def __init__(
        self, step: StepPrinter, names: Names, memory: str = "m", at: str = "row", also: tuple[Array, ...] = ()
    ):
        self.driver = Driver(step, names, memory, also)
        self._step, self._names, self._at = step, names, at
        self._arrays = {array.name: array for array in (*also, *step.kernel.arrays)}

    def array(self, part: str) -> Array:
        return self._arrays[part]

    def buffers(self, tensors: list[Tensor], rows: str = "BLOCK_ROWS") -> list[str]:
        """Fields for the values of rows that are converted, or that are not there."""
        return [
            f"real {self.driver.local(part)}[{rows}][{self._row(part)}]{ALIGNED};"
            for tensor in tensors
            for part in tensor.port.parts
        ]

    def params(self, tensors: list[Tensor]) -> list[str]:
        """Complex params are taken apart."""
        return [
            f"real {self.driver.local(part)}[{self._step.count(self.array(part))}]{ALIGNED};"
            for tensor in tensors
            if tensor.port.complex
            for part in tensor.port.parts
        ]

    def _row(self, part: str) -> str:
        return self._step.row_count(self.array(part))

    def opening(self, held: dict[str, tuple[str, str]], bounds: int) -> list[str]:
        """From the start of a function to where a block is known; `held` are the types and bytes of its memory."""
        lines = [
            f"{INDENT}const int64_t width = 2 + shape[LANE_RANK];",
            f"{INDENT}const int64_t *const bounds = data[{bounds}], *const tiles = data[{bounds + 1}];",
            f"{INDENT}void *own[] = {{",
            *(f"{INDENT * 2}allocate({size})," for _, size in held.values()),
            f"{INDENT}}};",
            f"{INDENT}int missing = 0;",
            f"{INDENT}for (int i = 0; i < {len(held)}; i++) missing |= !own[i];",
            f"{INDENT}const int64_t tickets = count_blocks(shape) * next[1];",
            f"{INDENT}for (int64_t ticket; (ticket = claim(next)) < tickets;) {{",
            f"{INDENT * 2}struct part opened = open_part(ticket, next);",
            f"{INDENT * 2}const struct part *const me = &opened;",
            f"{INDENT * 2}const int64_t number = ticket / me->parts;",
            f"{INDENT * 2}const struct block block = open_block(number, shape, bounds, tiles);",
            f"{INDENT * 2}void *const *const held = share(me, missing ? NULL : own);",
            f"{INDENT * 2}if (!held) {{",
            f"{INDENT * 3}missing = 1;",
            f"{INDENT * 3}continue;",
            f"{INDENT * 2}}}",
        ]
        for place, (name, (kind, _)) in enumerate(held.items()):
            lines.append(f"{INDENT * 2}{kind} *const {name} = held[{place}];")
        return lines

    def closing(self, held: dict[str, tuple[str, str]]) -> list[str]:
        free = f"{INDENT}for (int i = 0; i < {len(held)}; i++) free(own[i]);"
        return [f"{INDENT * 2}meet(me);", f"{INDENT}}}", free, f"{INDENT}return missing;", "}"]

    def prepared(self, cleared: list[str], params: list[Tensor], before: list[str]) -> list[str]:
        """Where a block's params are; the first of a team clears memory, and computes what comes before all steps."""
        lines = [self.driver.declare(tensor, "0", row="block.row[0]") for tensor in params]
        lines += [f"{INDENT * 2}if (me->rank == 0) {{", *(f"{INDENT * 3}{line}" for line in cleared)]
        lines += [INDENT + line for line in param_lines(self.driver, params)]
        lines += [INDENT + line for call in before for line in call.splitlines()]
        return [*lines, f"{INDENT * 2}}}", f"{INDENT * 2}meet(me);"]

    def declare(self, tensors: list[Tensor], written: bool) -> list[str]:
        """Pointers to the tensors of each row."""
        return [f"{INDENT * 2}{pointer_type(tensor, not written)}{tensor.name}[BLOCK_ROWS];" for tensor in tensors]

    def point(self, tensor: Tensor, begin: str, written: bool) -> str:
        return f"{INDENT * 3}{tensor.name}[row] = {self.driver.address(tensor, begin, not written, ROW)};"

    def values(self, tensors: list[Tensor], depth: int, rows: str = "BLOCK_ROWS") -> list[str]:
        """Pointers to the values of each row at a step."""
        lines = []
        for tensor in tensors:
            for part in tensor.port.parts:
                array = self.array(part)
                constant = "" if array.storage == "output" else "const "
                rest = self._step.sizes_of_row(array)
                local = self.driver.local(part)
                code = f"real (*{local}[{rows}]){rest};" if rest else f"real *{local}[{rows}];"
                lines.append(f"{INDENT * depth}{constant}{code}")
        return lines

    def absent(self, tensors: list[Tensor], depth: int, buffers: str = "") -> list[str]:
        """What stands for the values of a row that has no such step."""
        parts = [part for tensor in tensors for part in tensor.port.parts]
        places = [f"{buffers}{self.driver.local(p)}[row]" if buffers else self._buffer(p) for p in parts]
        return [
            f"{INDENT * depth}{self.driver.local(part)}[{self._at}] = {self._shaped(part, place)};"
            for part, place in zip(parts, places, strict=True)
        ]

    def _buffer(self, part: str) -> str:
        return f"{self.driver.buffer(part)}[{self._at}]"

    def load(self, tensor: Tensor, depth: int) -> list[str]:
        indent, port = INDENT * depth, tensor.port
        at = f"{tensor.name}[row] + {'2 * ' if port.complex else ''}t * {tensor.stride}"
        buffers = [self._buffer(part) for part in port.parts]
        if port.complex:
            lines = [f"{indent}load_pair({', '.join(buffers)}, {at}, {self._row(port.parts[0])});"]
            return lines + self.absent([tensor], depth)
        part = port.parts[0]
        loaded = self._shaped(part, f"LOAD({buffers[0]}, {at}, {self._row(part)})")
        return [f"{indent}{self.driver.local(part)}[{self._at}] = {loaded};"]

    def place(self, tensor: Tensor, depth: int) -> list[str]:
        if tensor.port.complex:
            return self.absent([tensor], depth)
        part = tensor.port.parts[0]
        placed = f"PLACE({self._buffer(part)}, {tensor.name}[row] + t * {tensor.stride})"
        return [f"{INDENT * depth}{self.driver.local(part)}[{self._at}] = {self._shaped(part, placed)};"]

    def store(self, tensor: Tensor, depth: int) -> list[str]:
        indent, port = INDENT * depth, tensor.port
        scale = "2 * " if port.complex else ""
        at = f"{tensor.name}[row] + {scale}t * {tensor.stride}"
        if port.complex:
            buffers = ", ".join(map(self._buffer, port.parts))
            return [f"{indent}store_pair({at}, {buffers}, {self._row(port.parts[0])});"]
        local = f"(const real *){self.driver.local(port.parts[0])}[{self._at}]"
        return [f"{indent}STORE({at}, {local}, {self._row(port.parts[0])});"]

    def _shaped(self, part: str, code: str) -> str:
        array = self.array(part)
        if len(array.sizes) < 3:
            return code
        constant = "" if array.storage == "output" else "const "
        return f"({constant}{self._step.pointer(array)}){code}"

    def given(self, tensors: list[Tensor]) -> list[str]:
        """What stands for tensors where the step is called."""
        return [self.driver.local(part) for tensor in tensors for part in tensor.port.parts]

    def copy(self, tensors: list[Tensor], inside: str, *, save: bool, depth: int, arrow: str = "->") -> list[str]:
        """A row's states or sums, to or from the kernel's arrays."""
        return [
            line
            for tensor in tensors
            for line in self.driver.copy(
                tensor.port, f"{tensor.name}[row]", inside, save=save, depth=depth, arrow=arrow, row="[row]"
            )
        ]


def time_of(steps: str, step: str, depth: int) -> str:
    """The time of a row's step, whose number is `step`; `steps` is what is taken off in a walk backwards."""
    return f"{INDENT * depth}const int64_t t = shape[REVERSE] ? block.count[row] - 1 - {steps} : {step};"
