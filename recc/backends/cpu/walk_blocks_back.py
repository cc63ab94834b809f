"""`backward`, as a caller sees it, where rows are walked side by side in blocks.

It takes what that of `walk` takes, but that sums of outer products are one a block."""

from __future__ import annotations

from recc.backends.cpu.blocks import CLEARED, EACH_ROW, PAST, ROW, Blocks, time_of
from recc.backends.cpu.drive import HEAD, Driver, Tensor
from recc.backends.cpu.names import Names
from recc.backends.cpu.statements import INDENT
from recc.backends.cpu.step import ALIGNED, StepPrinter
from recc.backends.cpu.turned import Turned
from recc.backends.cpu.walk import backward_tensors, given_params, kept_arrays
from recc.backends.cpu.walk_stretches import ahead_of, behind_of, pointed, read_by, shared_by, timed_arrays
from recc.ir.kernel import Outer

TILE = "(size_t)shape[TILE_STEPS] * BLOCK_ROWS"
PATH_BYTES = """/* Of one step of a block, for the caller who makes room for those of all steps. */
const int64_t path_bytes = sizeof(struct states);"""


class BlockBackward:
    """`backward`, a block at a time."""

    def __init__(self, replay: StepPrinter, step: StepPrinter, names: Names):
        self._step, self._replay, self._names = step, replay, names
        also = timed_arrays(replay.kernel, step.kernel)
        self._blocks, self._walker = Blocks(step, names, also=also), Driver(replay, names)
        groups, self._bounds = backward_tensors(step.kernel, replay.kernel, names)
        self._x, self._w, self._entry, self._g, self._final, self._dx, dw, self._ds = groups
        outer = {item.total for item in step.kernel.outers}
        self._outer = [tensor for tensor in dw if set(tensor.port.parts) <= outer]
        self._sums = [tensor for tensor in dw if tensor not in self._outer]
        self._replay_ahead = ahead_of(replay, names, self._x, self._w)
        self._ahead = ahead_of(step, names, [*self._x, *self._g], self._w)
        self._behind = behind_of(step, names, self._dx, self._w)
        self._turned = Turned(step, self._w, replay.kernel, f"data[{self._bounds + 2}]")
        read = [array.name for item in self._behind for array in item.past]
        self._factors = list(dict.fromkeys([*(n for item in step.kernel.outers for n in (item.x, item.y)), *read]))

    def stretches(self) -> list[str]:
        return [text for item in (*self._replay_ahead, *self._ahead, *self._behind) for text in item.text()]

    def memory(self) -> str:
        blocks = self._blocks
        dx = read_by(self._step, self._dx)
        return self._step.memory([*blocks.buffers([*self._x, *self._g, *dx]), *blocks.params(self._w)])

    def states(self) -> str:
        """The states before a step, as the steps of a tile leave them, and what is kept of the step."""
        arrays = [array for array in self._replay.kernel.arrays if array.storage in ("state", "kept")]
        fields = [f"{INDENT}real {self._names(array.name)}{self._replay.sizes(array)}{ALIGNED};" for array in arrays]
        return "\n".join(["struct states {", *fields, "};", "", PATH_BYTES])

    def text(self) -> str:
        blocks = self._blocks
        held = {name: (f"struct {kind}", f"sizeof(struct {kind})") for name, kind in
                (("m", "backward_memory"), ("replay", "replay_memory"))}  # fmt: skip
        past = f"data[{self._bounds + 2}]"
        held["replayed"] = ("struct states", f"{past} ? 1 : (shape[TILE_STEPS] + 1) * sizeof(struct states)")
        for name in self._factors:
            count = self._step.row_count(blocks.array(name))
            held[self._past(name)] = ("real", f"{TILE} * {count} * sizeof(real)")
        given = given_params(blocks.driver, self._w)
        before = [blocks.driver.call("before", given, 2)] if self._step.kernel.before else []
        before += [self._walker.call("before", given, 2, "replay")] if self._replay.kernel.before else []
        for item in (*self._replay_ahead, *self._ahead, *self._behind):
            held |= item.held
            before += item.before(blocks)
        held |= self._turned.held
        cleared = [CLEARED.format("m"), CLEARED.format("replay"), f"memset(replayed, 0, {held['replayed'][1]});"]
        lines = [HEAD.format(name="backward"), *blocks.opening(held, self._bounds)]
        lines += [*blocks.prepared(cleared, self._w, before), *self._turned.lines()]
        lines += [PAST.format(self._bounds + 2), *self._pointers()]
        lines += [f"{INDENT * 2}const int64_t length = (block.longest + shape[TILE_STEPS] - 1) / shape[TILE_STEPS];"]
        lines += [f"{INDENT * 2}for (int64_t tile = length - 1; tile >= 0; tile--) {{"]
        lines += [f"{INDENT * 3}const int64_t start = tile * shape[TILE_STEPS], left = block.longest - start;"]
        lines += [f"{INDENT * 3}const int64_t steps = left < shape[TILE_STEPS] ? left : shape[TILE_STEPS];"]
        lines += [f"{INDENT * 3}struct states *const path = past ? past + start : replayed;"]
        lines += self._replayed() + self._steps()
        if self._factors:
            meet = f"{INDENT * 3}meet(me);"
            lines += [meet, *(self._add(item) for item in self._step.kernel.outers), *self._after(), meet]
        lines += [f"{INDENT * 2}}}", *self._results()]
        return "\n".join([*lines, *blocks.closing(held)])

    def _pointers(self) -> list[str]:
        blocks = self._blocks
        lines = blocks.declare([*self._x, *self._g, *self._final], False)
        lines += blocks.declare([*self._dx, *self._sums, *self._ds], True) + [f"{INDENT * 2}{EACH_ROW} {{"]
        stretches = [*self._replay_ahead, *self._ahead]
        shared = shared_by([*stretches, *self._behind])
        own = [tensor for tensor in (*self._x, *self._g) if tensor not in shared]
        lines += [blocks.point(tensor, "block.begin[row]", False) for tensor in own]
        lines += [blocks.point(tensor, "0", False) for tensor in self._final]
        lines += [blocks.point(tensor, "block.begin[row]", True) for tensor in self._dx if tensor not in shared]
        lines += [blocks.point(tensor, "0", True) for tensor in (*self._sums, *self._ds)]
        lines += [f"{INDENT * 2}}}", *pointed(blocks, stretches, False)]
        return lines + pointed(blocks, self._behind, True)

    def _after(self) -> list[str]:
        """What is computed behind the steps of a tile, a stretch at a time."""
        lines: list[str] = []
        for item in self._behind:
            lines.append(f"{INDENT * 3}for (int64_t first = 0; first < steps; first += {item.steps}) {{")
            lines += [*item.lines(self._blocks, "first", "first", "steps", "start", 4), f"{INDENT * 3}}}"]
        return lines

    def _replayed(self) -> list[str]:
        """The states before each step of a tile, from those at its beginning."""
        blocks, primal = self._blocks, self._replay.kernel
        lines = [f"{INDENT * 3}{EACH_ROW} {{", f"{INDENT * 4}if (past || start >= block.count[row]) continue;"]
        for tensor in self._entry:
            begin = "block.first[row] + tile"
            lines.append(blocks.driver.declare(tensor, begin, True, 4, ROW))
            lines += blocks.driver.copy(
                tensor.port, tensor.name, "path[0]", save=False, depth=4, arrow=".", row="[row]"
            )
        more = "" if primal.kept else "+ 1 "
        lines += [f"{INDENT * 3}}}", f"{INDENT * 3}for (int64_t n = 0; !past && n {more}< steps; n++) {{"]
        for item in self._replay_ahead:
            lines += item.lines(blocks, f"n % {item.steps} == 0", "n", "steps", "start", 4)
        x = read_by(self._replay, self._x)
        lines += self._loaded(x) + [f"{INDENT * 4}}}"] if x else []
        parts = [self._names(part) for port in primal.states for part in port.parts]
        given = ["me", *blocks.given(x), *given_params(blocks.driver, self._w)]
        given += [f"path[n].{part}" for part in parts] + [f"path[n + 1].{part}" for part in parts]
        given += [f"path[n].{self._names(name)}" for name in kept_arrays(primal)]
        given += [code for item in self._replay_ahead for code in item.given()]
        return [*lines, self._walker.call("step", given, 4, "replay"), f"{INDENT * 3}}}"]

    def _loaded(self, tensors: list[Tensor], written: list[Tensor] | None = None) -> list[str]:
        """The values of each row at a step, to within a loop over rows that have one."""
        blocks, written = self._blocks, written or []
        lines = blocks.values([*tensors, *written], 4)
        lines += [f"{INDENT * 4}{EACH_ROW} {{", f"{INDENT * 5}if (start + n >= block.count[row]) {{"]
        lines += [
            *blocks.absent([*tensors, *written], 6),
            f"{INDENT * 6}continue;",
            f"{INDENT * 5}}}",
            time_of("start - n", "start + n", 5),
        ]
        lines += [line for tensor in tensors for line in blocks.load(tensor, 5)]
        return lines + [line for tensor in written for line in blocks.place(tensor, 5)]

    def _steps(self) -> list[str]:
        """The steps of a tile backwards. A row begins with its last step, until when what its states hold is void."""
        blocks, driver = self._blocks, self._blocks.driver
        x, g, dx = (read_by(self._step, tensors) for tensors in (self._x, self._g, self._dx))
        lines = [f"{INDENT * 3}for (int64_t n = steps - 1; n >= 0; n--) {{"]
        for item in self._ahead:
            test = f"n == steps - 1 || (n + 1) % {item.steps} == 0"
            lines += item.lines(blocks, test, f"(n - n % {item.steps})", "(n + 1)", "start", 4)
        lines += self._loaded([*x, *g], dx)
        lines += [f"{INDENT * 5}if (start + n + 1 < block.count[row]) continue;", *self._begun(5), f"{INDENT * 4}}}"]
        parts = [self._names(part) for tensor in self._entry for part in tensor.port.parts]
        given = ["me", *blocks.given(x), *(f"path[n].{part}" for part in parts), *blocks.given(g)]
        given += [*given_params(driver, self._w), *self._kept()]
        given += [code for item in self._ahead for code in item.given()] + blocks.given(dx)
        lines += [driver.call("step", given, 4), f"{INDENT * 4}{EACH_ROW} {{"]
        lines += [f"{INDENT * 5}const int there = start + n < block.count[row];"] if self._factors else []
        for name in self._factors:
            count = self._step.row_count(blocks.array(name))
            to, size = f"{self._past(name)} + (n * BLOCK_ROWS + row) * {count}", f"{count} * sizeof(real)"
            address = f"{'' if blocks.array(name).sizes[1:] else '&'}{self._held(name)}[row]"
            lines += [f"{INDENT * 5}if (there) memcpy({to}, {address}, {size});"]
            lines += [f"{INDENT * 5}else memset({to}, 0, {size});"]
        lines += [f"{INDENT * 5}if (start + n >= block.count[row]) continue;", time_of("start - n", "start + n", 5)]
        lines += [line for tensor in dx for line in blocks.store(tensor, 5)]
        return [*lines, f"{INDENT * 4}}}", f"{INDENT * 3}}}"]

    def _begun(self, depth: int) -> list[str]:
        """A row's cotangents at the end of its last step, and its sums, of nothing yet."""
        lines = self._blocks.copy(self._final, "m", save=False, depth=depth)
        for tensor in self._sums:
            for part in tensor.port.parts:
                name = self._names(part)
                scalar = len(self._blocks.array(part).sizes) == 1
                lines += [f"{INDENT * depth}memset({'&' if scalar else ''}m->{name}[row], 0, sizeof m->{name}[row]);"]
        return lines

    def _kept(self) -> list[str]:
        """What the replay kept, as the adjoint's step is given it."""
        return [self._held(name) for name in kept_arrays(self._step.kernel)]

    def _held(self, name: str) -> str:
        """Where the rows of a value of the adjoint's step are."""
        known = dict(zip(self._step.kernel.kept, self._replay.kernel.kept, strict=True))
        return f"path[n].{self._names(known[name])}" if name in known else f"m->{self._names(name)}"

    def _add(self, item: Outer) -> str:
        """A tile's outer products added to their sum: a product of what is kept of its rows and steps."""
        blocks, size = self._blocks, self._step.size
        self._step.used.add("multiply")
        *shared, k, j = blocks.array(item.total).sizes
        rows = [self._step.row_count(blocks.array(name)) for name in (item.x, item.y)]
        past = [self._past(name) for name in (item.x, item.y)]
        total, head = f"(real *)m->{self._names(item.total)}", INDENT * 3
        if shared:
            matrix = " * ".join(map(size, (k, j)))
            head += f"for (int at = 0; at < {' * '.join(map(size, shared))}; at++) "
            for place, (name, axis) in enumerate(((item.x, k), (item.y, j))):
                past[place] += f" + at * {size(axis)}" if len(blocks.array(name).sizes) > 2 else ""
            total += f" + at * {matrix}"
        shape = f"{size(k)}, (int)steps * BLOCK_ROWS, {size(j)}"
        return f"{head}multiply(me, {shape}, {past[0]}, 1, {rows[0]}, {past[1]}, {rows[1]}, {total}, {size(j)}, 1);"

    def _results(self) -> list[str]:
        blocks, driver = self._blocks, self._blocks.driver
        lines = [f"{INDENT * 2}{EACH_ROW} {{", f"{INDENT * 3}if (row >= block.rows) continue;"]
        lines += [f"{INDENT * 3}if (block.count[row] == 0) {{", *self._begun(4), f"{INDENT * 3}}}"]
        lines += blocks.copy([*self._sums, *self._ds], "m", save=True, depth=3) + [f"{INDENT * 2}}}"]
        if self._outer:
            lines.append(f"{INDENT * 2}if (me->rank == 0) {{")
        for tensor in self._outer:
            lines.append(driver.declare(tensor, "0", False, 3, "number"))
            lines += driver.copy(tensor.port, tensor.name, "m", save=True, depth=3)
        return [*lines, f"{INDENT * 2}}}"] if self._outer else lines

    def _past(self, name: str) -> str:
        return f"past_{self._names(name)}"
