"""The two functions that a caller sees where rows are walked side by side, one in each lane of a vector.

They are given what those of single rows are (`walk.py`). Steps are walked in tiles: what does not lie lane by lane is
copied for a tile at once."""

from __future__ import annotations

from collections.abc import Iterable

from recc.backends.cpu.drive import HEAD, Driver, Tensor
from recc.backends.cpu.names import Names
from recc.backends.cpu.statements import INDENT
from recc.backends.cpu.step import ALIGNED, StepPrinter
from recc.backends.cpu.walk import Backward, forward_tensors
from recc.ir.kernel import Port


class Lanes:
    """What both functions have in common: lines of C for the tensors of a group of rows."""

    def __init__(self, step: StepPrinter, names: Names):
        self.driver = Driver(step, names)
        self._step, self._names = step, names

    def opening(self, memory: dict[str, tuple[str, str]], bounds: int, timed: list[Tensor]) -> list[str]:
        """From the start of a function to where a group is known; `memory` are the types and bytes of what it needs,
        beside `room` for the `timed` tensors of a tile."""
        numbers = " + ".join(self._numbers(tensor.port) for tensor in timed)
        room = f"(size_t)shape[TILE_STEPS] * GROUP_LANES * ({numbers}) * sizeof(real)"
        held = [*memory, "room"]
        free = " ".join(f"free({name});" for name in held)
        lines = [
            "const int64_t width = 2 + shape[LANE_RANK], turn = shape[REVERSE] ? -1 : 1;",
            *(f"struct {kind} *const {name} = allocate({size});" for name, (kind, size) in memory.items()),
            f"real *const room = allocate({room});",
            f"if ({' || '.join(f'!{name}' for name in held)}) {{",
            f"{INDENT}{free}",
            f"{INDENT}return 1;",
            "}",
            f"const int64_t *const bounds = data[{bounds}], *const tiles = data[{bounds + 1}];",
            "const int64_t groups = count_groups(shape, bounds);",
            "for (int64_t number; (number = claim(next)) < groups;) {",
            f"{INDENT}const struct group group = open_group(number, shape, bounds, tiles);",
            f"{INDENT}const int64_t count = group.count;",
        ]
        return [f"{INDENT}{line}" for line in lines]

    def closing(self, held: Iterable[str]) -> list[str]:
        free = " ".join(f"free({name});" for name in (*held, "room"))
        return [f"{INDENT}}}", f"{INDENT}{free}", f"{INDENT}return 0;", "}"]

    def _numbers(self, port: Port) -> str:
        """How many numbers a row has of a tensor."""
        return f"{self._features(port)} * {len(port.parts)}" if port.complex else self._features(port)

    def _features(self, port: Port) -> str:
        return " * ".join(self._step.size(size) for size in port.sizes[:-1]) or "1"

    def view(self, tensor: Tensor, begin: str, written: bool = False) -> list[str]:
        """Where a tensor is, and where each lane begins in it."""
        constant = "" if written else "const "
        given = f"&group, shape, strides + {tensor.place} * width, {begin}, {self._features(tensor.port)}"
        return [
            f"{INDENT * 2}{constant}{tensor.type} *const {tensor.name} = data[{tensor.place}];",
            f"{INDENT * 2}const struct view {view_name(tensor)} = view_of({given});",
        ]

    # --- states, params and sums ---

    def buffers(self, params: list[Tensor]) -> list[str]:
        """Fields of the memory where params are, lane by lane."""
        return [
            f"real {self.driver.buffer(part)[3:]}[{self._features(tensor.port)} * GROUP_LANES]{ALIGNED};"
            for tensor in params
            for part in tensor.port.parts
        ]

    def copy(
        self, tensor: Tensor, inside: str, *, save: bool, depth: int, at: str = "0", buffered: bool = False
    ) -> list[str]:
        """A tensor's numbers for all lanes, to or from arrays of a kernel; `at` is how far on from where it begins."""
        port = tensor.port
        loops = [f"i_{place}" for place in range(len(port.sizes) - 1)]
        lines = [
            f"for (int {loop} = 0; {loop} < {self._step.size(size)}; {loop}++)"
            for loop, size in zip(loops, port.sizes, strict=False)
        ]
        lines.append(f"for (int lane = 0; lane < {'group.rows' if save else 'GROUP_LANES'}; lane++)")
        flat = ""
        for loop, size in zip(loops, port.sizes, strict=False):
            outer = f"({flat})" if " " in flat else flat
            flat = f"{outer} * {self._step.size(size)} + {loop}" if flat else loop
        own = "".join(f"[{loops[place]}]" for place in port.order[:-1]) + "[lane]"
        if buffered:
            own = f"[({flat}) * GROUP_LANES + lane]" if flat else "[lane]"
        begin = f"{view_name(tensor)}.at[lane]" + (f" + {at}" if at != "0" else "") + (f" + {flat}" if flat else "")
        pairs = []
        for number, part in enumerate(port.parts):
            outer = f"{tensor.name}[{f'2 * ({begin}) + {number}' if port.complex else begin}]"
            inner = f"{self.driver.buffer(part) if buffered else inside + self._names(part)}{own}"
            pairs.append(f"{outer} = {inner}" if save else f"{inner} = {outer}")
        lines.append(f"{', '.join(pairs)};")
        return [f"{INDENT * (depth + level)}{line}" for level, line in enumerate(lines)]

    def params(self, params: list[Tensor]) -> list[str]:
        return [line for tensor in params for line in self.copy(tensor, "", save=False, depth=2, buffered=True)]

    def given_params(self, params: list[Tensor]) -> list[str]:
        parts = [part for tensor in params for part in tensor.port.parts]
        return [self.driver.shaped(part, self.driver.buffer(part)) for part in parts]

    # --- a tile's inputs and outputs ---

    def open(self, tensors: list[Tensor], first: int, written: bool = False) -> list[str]:
        """Where the steps of a tile are, from number `first` of the timed tensors on: there or in `room`."""
        lines = []
        for number, tensor in enumerate(tensors, first):
            name, numbers = step_name(tensor), self._numbers(tensor.port)
            begin = f"{view_name(tensor)}.at[0] + t * {tensor.stride}"
            lines += [
                f"const int here_{name} = {self._in_place(tensor)};",
                f"real *const at_{name} = here_{name} ? (real *){tensor.name} + {begin} : place_{number};",
                f"const int64_t step_{name} = here_{name} ? turn * {tensor.stride} : {numbers} * GROUP_LANES;",
            ]
            if not written:
                lines.append(f"if (!here_{name}) LOAD_LANES(at_{name}, {tensor.name}, {self._moved(tensor)});")
        return [f"{INDENT * 3}{line}" for line in lines]

    def close(self, tensors: list[Tensor]) -> list[str]:
        """Outputs that were not written where they belong."""
        return [
            f"{INDENT * 3}if (!here_{step_name(tensor)}) "
            f"STORE_LANES({tensor.name}, at_{step_name(tensor)}, {self._moved(tensor)});"
            for tensor in tensors
        ]

    def _in_place(self, tensor: Tensor) -> str:
        return f"IN_PLACE({view_name(tensor)}, {tensor.name}, {self._numbers(tensor.port)}, group.rows)"

    def _moved(self, tensor: Tensor) -> str:
        """What is copied of a tensor for a tile."""
        stride, shape = tensor.stride, f"{self._features(tensor.port)}, {len(tensor.port.parts)}"
        return f"&{view_name(tensor)}, t * {stride}, turn * {stride}, steps, group.rows, {shape}"

    def places(self, timed: list[Tensor]) -> list[str]:
        """The room of each of the timed tensors."""
        lines = []
        before = "room"
        for number, tensor in enumerate(timed):
            lines.append(f"{INDENT * 2}real *const place_{number} = {before};")
            before = f"place_{number} + shape[TILE_STEPS] * GROUP_LANES * {self._numbers(tensor.port)}"
        return lines

    def given(self, tensors: list[Tensor]) -> list[str]:
        """What stands for the timed tensors where a step is called, the `n`th of a tile."""
        found = []
        for tensor in tensors:
            at = f"at_{step_name(tensor)} + n * step_{step_name(tensor)}"
            for number, part in enumerate(tensor.port.parts):
                code = at + (f" + {self._features(tensor.port)} * GROUP_LANES" if number else "")
                shaped = self.driver.shaped(part, f"({code})")
                found.append(code if shaped == f"({code})" else shaped)
        return found


def view_name(tensor: Tensor) -> str:
    return f"{tensor.name.removesuffix('_row')}_view"


def step_name(tensor: Tensor) -> str:
    return tensor.name.removesuffix("_row")


TILE = [
    "const int64_t steps = count - start < shape[TILE_STEPS] ? count - start : shape[TILE_STEPS];",
    "const int64_t t = shape[REVERSE] ? count - 1 - start : start;",
]


class LaneForward:
    """`forward`: its data are those of `Forward`."""

    def __init__(self, step: StepPrinter, names: Names):
        self._lanes, self._step = Lanes(step, names), step
        groups, self._bounds = forward_tensors(step.kernel, names)
        self._x, self._w, self._s, self._y, self._final, self._entry = groups

    def memory(self) -> str:
        return self._step.memory(self._lanes.buffers(self._w))

    def text(self) -> str:
        lanes, timed = self._lanes, [*self._x, *self._y]
        lines = [HEAD.format(name="forward")]
        lines += lanes.opening({"m": ("forward_memory", "sizeof *m")}, self._bounds, timed)
        for tensors, begin, written in (
            (self._x, "group.begin", False),
            ([*self._w, *self._s], "0", False),
            (self._y, "group.begin", True),
            (self._final, "0", True),
        ):
            lines += [line for tensor in tensors for line in lanes.view(tensor, begin, written)]
        lines += lanes.places(timed)
        lines += [line for tensor in self._s for line in lanes.copy(tensor, "m->", save=False, depth=2)]
        lines += lanes.params(self._w)
        if self._step.kernel.before:
            lines.append(lanes.driver.call("before", lanes.given_params(self._w), 2))
        lines.append(f"{INDENT * 2}for (int64_t start = 0; start < count; start += shape[TILE_STEPS]) {{")
        lines += [*(f"{INDENT * 3}{line}" for line in TILE), *self._save_entry()]
        lines += [*lanes.open(self._x, 0), *lanes.open(self._y, len(self._x), True)]
        given = [*lanes.given(self._x), *lanes.given_params(self._w), *lanes.given(self._y)]
        lines += [f"{INDENT * 3}for (int64_t n = 0; n < steps; n++)", lanes.driver.call("step", given, 4)]
        lines += [*lanes.close(self._y), f"{INDENT * 2}}}"]
        lines += [line for tensor in self._final for line in lanes.copy(tensor, "m->", save=True, depth=2)]
        return "\n".join([*lines, *lanes.closing(("m",))])

    def _save_entry(self) -> list[str]:
        lines = [f"{INDENT * 3}if (data[{self._entry[0].place}]) {{"]
        for tensor in self._entry:
            begin = "group.first + start / shape[TILE_STEPS]"
            lines += [INDENT * 2 + line for line in self._lanes.view(tensor, begin, True)]
            lines += self._lanes.copy(tensor, "m->", save=True, depth=4)
        return [*lines, f"{INDENT * 3}}}"]


class LaneBackward(Backward):
    """`backward`: its data are those of `Backward`."""

    def __init__(self, replay: StepPrinter, step: StepPrinter, names: Names, replays: bool):
        super().__init__(replay, step, names, replays)
        self._lanes = Lanes(step, names)

    def memory(self) -> str:
        return self._step.memory(self._lanes.buffers(self._w))

    def text(self) -> str:
        lanes, timed = self._lanes, [*self._x, *self._g, *self._dx]
        memory = {"m": ("backward_memory", "sizeof *m")}
        if self._replays:
            memory["replay"] = "replay_memory", "sizeof *replay"
            memory["path"] = "states", "(size_t)(shape[TILE_STEPS] + 1) * sizeof *path"
        lines = [HEAD.format(name="backward"), *lanes.opening(memory, self._bounds, timed)]
        for tensors, begin, written in (
            ([*self._x, *self._g], "group.begin", False),
            ([*self._w, *self._final], "0", False),
            (self._entry if self._replays else [], "group.first", False),
            (self._dx, "group.begin", True),
            ([*self._dw, *self._ds], "0", True),
        ):
            lines += [line for tensor in tensors for line in lanes.view(tensor, begin, written)]
        lines += [*lanes.places(timed), *self._begin(), *lanes.params(self._w)]
        if self._step.kernel.before:
            lines.append(lanes.driver.call("before", lanes.given_params(self._w), 2))
        if self._replays and self._replay.kernel.before:
            lines.append(self._walker.call("before", lanes.given_params(self._w), 2, "replay"))
        lines += [*self._tile(), f"{INDENT * 2}}}"]
        lines += [line for tensor in (*self._dw, *self._ds) for line in lanes.copy(tensor, "m->", save=True, depth=2)]
        return "\n".join([*lines, *lanes.closing(memory)])

    def _begin(self) -> list[str]:
        """The cotangents of the final states, and sums of nothing."""
        lines = [line for tensor in self._final for line in self._lanes.copy(tensor, "m->", save=False, depth=2)]
        parts = [self._names(part) for tensor in self._dw for part in tensor.port.parts]
        return lines + [f"{INDENT * 2}memset(&m->{part}, 0, sizeof m->{part});" for part in parts]

    def _tile(self) -> list[str]:
        lanes = self._lanes
        lines = [
            f"{INDENT * 2}const int64_t length = (count + shape[TILE_STEPS] - 1) / shape[TILE_STEPS];",
            f"{INDENT * 2}for (int64_t tile = length - 1; tile >= 0; tile--) {{",
            f"{INDENT * 3}const int64_t start = tile * shape[TILE_STEPS];",
            *(f"{INDENT * 3}{line}" for line in TILE),
        ]
        count = len(self._x)
        lines += [*lanes.open(self._x, 0), *lanes.open(self._g, count)]
        lines += lanes.open(self._dx, count + len(self._g), True)
        params = lanes.given_params(self._w)
        lines += self._replayed_lanes(params) if self._replays else []
        given = [*lanes.given(self._x), *self._before_step(), *lanes.given(self._g), *params]
        given += [*self._kept_of(self._step.kernel, "n"), *lanes.given(self._dx)]
        lines.append(f"{INDENT * 3}for (int64_t n = steps - 1; n >= 0; n--)")
        return [*lines, lanes.driver.call("step", given, 4), *lanes.close(self._dx)]

    def _replayed_lanes(self, params: list[str]) -> list[str]:
        """The states before each step of a tile, from those at its beginning."""
        primal, lines = self._replay.kernel, []
        for tensor in self._entry:
            lines += self._lanes.copy(tensor, "path[0].", save=False, depth=3, at=f"tile * {tensor.stride}")
        states = [primal.array(part) for port in primal.states for part in port.parts]
        given = self._lanes.given(self._x) + params
        given += [self._on_path(array, at) for at in ("n", "n + 1") for array in states] + self._kept_of(primal, "n")
        more = "" if primal.kept else "+ 1 "
        lines.append(f"{INDENT * 3}for (int64_t n = 0; n {more}< steps; n++)")
        return [*lines, self._walker.call("step", given, 4, "replay")]
