"""The two functions that a caller sees: over all rows, forwards from the states' start, and back from its end."""

from __future__ import annotations

from recc.backends.cpu.drive import HEAD, Driver, Tensor
from recc.backends.cpu.missed import begin_row, end_row
from recc.backends.cpu.names import Names
from recc.backends.cpu.statements import INDENT
from recc.backends.cpu.step import ALIGNED, KEPT, StepPrinter
from recc.ir.kernel import Array, Kernel, Port


def _tensors(ports: tuple[Port, ...], first: int, kind: str, names: Names, prefix: str = "at") -> list[Tensor]:
    found = []
    for number, port in enumerate(ports):
        kind_of = "real" if port.complex or not kind else f"TYPE_{kind}_{number}"
        found.append(Tensor(port, first + number, kind_of, f"{prefix}_{names(port.parts[0])}_row"))
    return found


def _groups(listed: tuple[tuple[tuple[Port, ...], str, str], ...], names: Names) -> tuple[list[list[Tensor]], int]:
    groups: list[list[Tensor]] = []
    count = 0
    for ports, kind, prefix in listed:
        groups.append(_tensors(ports, count, kind, names, prefix))
        count += len(ports)
    return groups, count


def forward_tensors(kernel: Kernel, names: Names, entries: bool = True) -> tuple[list[list[Tensor]], int]:
    """What `forward` is given, in groups, and how many tensors that is."""
    listed = (
        (kernel.inputs, "IN", "from"),
        (kernel.params, "", "from"),
        (kernel.states, "", "from"),
        (kernel.outputs, "OUT", "to"),
        (kernel.states, "", "to"),
        (kernel.states if entries else (), "", "entry"),
    )
    return _groups(listed, names)


def backward_tensors(kernel: Kernel, primal: Kernel, names: Names) -> tuple[list[list[Tensor]], int]:
    """What `backward` is given, in groups, and how many tensors that is."""
    inputs, states = len(primal.inputs), len(primal.states)
    listed = (
        (kernel.inputs[:inputs], "IN", "from"),
        (kernel.params, "", "from"),
        (kernel.inputs[inputs : inputs + states], "", "entry"),
        (kernel.inputs[inputs + states :], "OUT", "from"),
        (kernel.states, "", "from"),
        (kernel.outputs, "GRAD", "to"),
        (kernel.totals, "", "to"),
        (kernel.states, "", "to"),
    )
    return _groups(listed, names)


class Forward:
    """A walk forwards, named after the step: data are inputs, params, initial states, outputs, final states, entry
    states (or none), the bounds of packed sequences and their first tiles (or none), and what each row missed, if it
    has fixed points. It may have no place for `entries`."""

    def __init__(self, step: StepPrinter, names: Names, entries: bool = True):
        self._driver = Driver(step, names)
        self._step, self._names = step, names
        groups, self._bounds = forward_tensors(step.kernel, names, entries)
        self._x, self._w, self._s, self._y, self._final, self._entry = groups

    def memory(self) -> str:
        return self._step.memory(self._driver.buffers([*self._x, *self._w, *self._y]))

    def text(self) -> str:
        driver = self._driver
        lines = [
            HEAD.format(name=self._step.prefix),
            *_opening(self._bounds, (f"struct {self._step.prefix}_memory *const m = allocate(sizeof *m);",), ("m",)),
        ]
        lines += [driver.declare(tensor, "begin") for tensor in self._x]
        lines += [driver.declare(tensor, "0") for tensor in (*self._w, *self._s)]
        lines += [driver.declare(tensor, "begin", False) for tensor in self._y]
        lines += [driver.declare(tensor, "0", False) for tensor in self._final]
        for tensor in self._s:
            lines += driver.copy(tensor.port, tensor.name, "m", save=False, depth=2)
        lines += begin_row(self._step.kernel, self._names) + param_lines(driver, self._w)
        if self._step.kernel.before:
            lines.append(driver.call("before", given_params(driver, self._w), 2))
        lines += [f"{INDENT * 2}for (int64_t n = 0; n < count; n++) {{"]
        lines += [f"{INDENT * 3}const int64_t t = shape[REVERSE] ? count - 1 - n : n;"]
        lines += self._save_entry() if self._entry else []
        for tensor in (*self._x, *self._y):
            lines += driver.fetch(tensor, 3, write=tensor in self._y)
        for tensor in self._x:
            lines += driver.load(tensor, 3)
        for tensor in self._y:
            lines += driver.place(tensor, 3)
        given = [code for tensor in self._x for code in driver.given(tensor)] + given_params(driver, self._w)
        lines.append(driver.call("step", given + [code for tensor in self._y for code in driver.given(tensor)], 3))
        for tensor in self._y:
            lines += driver.store(tensor, 3)
        lines.append(f"{INDENT * 2}}}")
        for tensor in self._final:
            lines += driver.copy(tensor.port, tensor.name, "m", save=True, depth=2)
        lines += end_row(self._step.kernel, self._names, self._bounds + 3)
        return "\n".join([*lines, f"{INDENT}}}", f"{INDENT}free(m);", f"{INDENT}return 0;", "}"])

    def _save_entry(self) -> list[str]:
        lines = [f"{INDENT * 3}if (data[{self._entry[0].place}] && n % shape[TILE_STEPS] == 0) {{"]
        begin = "first + n / shape[TILE_STEPS]"
        for tensor in self._entry:
            lines.append(self._driver.declare(tensor, begin, False, 4))
            lines += self._driver.copy(tensor.port, tensor.name, "m", save=True, depth=4)
        return [*lines, f"{INDENT * 3}}}"]


class Backward:
    """A walk back, named after the step: data are inputs, params, entry states, cotangents of outputs and of final
    states, cotangents of inputs, params (one a row) and initial states, the bounds of packed sequences and their first
    tiles (or none), and what each row missed, if it has fixed points."""

    def __init__(self, replay: StepPrinter, step: StepPrinter, names: Names, replays: bool):
        self._step, self._replay, self._replays, self._names = step, replay, replays, names
        self._driver = Driver(step, names)
        self._walker = Driver(replay, names)
        groups, self._bounds = backward_tensors(step.kernel, replay.kernel, names)
        self._x, self._w, self._entry, self._g, self._final, self._dx, self._dw, self._ds = groups

    def memory(self) -> str:
        return self._step.memory(self._driver.buffers([*self._x, *self._w, *self._g, *self._dx]))

    def states(self) -> str:
        """The states before a step, as the steps of a tile leave them, and what is kept of the step."""
        arrays = [array for array in self._replay.kernel.arrays if array.storage in ("state", "kept")]
        fields = [
            f"{INDENT}real {self._names(array.name)}{self._replay.sizes(array)}{ALIGNED if array.sizes else ''};"
            for array in arrays
        ]
        return "struct states {\n" + "\n".join(fields) + "\n};"

    def text(self) -> str:
        driver = self._driver
        made = [f"struct {self._step.prefix}_memory *const m = allocate(sizeof *m);"]
        held = ["m"]
        if self._replays:
            made += ["struct replay_memory *const replay = allocate(sizeof *replay);"]
            made += ["struct states *const path = allocate((size_t)(shape[TILE_STEPS] + 1) * sizeof *path);"]
            held += ["replay", "path"]
        lines = [HEAD.format(name=self._step.prefix), *_opening(self._bounds, tuple(made), tuple(held))]
        lines += [driver.declare(tensor, "begin") for tensor in (*self._x, *self._g)]
        lines += [driver.declare(tensor, "0") for tensor in (*self._w, *self._final)]
        lines += [driver.declare(tensor, "begin", False) for tensor in self._dx]
        lines += [driver.declare(tensor, "0", False) for tensor in (*self._dw, *self._ds)]
        for tensor in self._final:
            lines += driver.copy(tensor.port, tensor.name, "m", save=False, depth=2)
        for tensor in self._dw:
            lines += [f"{INDENT * 2}memset(&m->{self._names(part)}, 0, sizeof m->{self._names(part)});"
                      for part in tensor.port.parts]  # fmt: skip
        lines += begin_row(self._step.kernel, self._names) + param_lines(driver, self._w)
        if self._step.kernel.before:
            lines.append(driver.call("before", given_params(driver, self._w), 2))
        if self._replays and self._replay.kernel.before:
            lines.append(self._walker.call("before", given_params(driver, self._w), 2, "replay"))
        lines += [f"{INDENT * 2}const int64_t length = (count + shape[TILE_STEPS] - 1) / shape[TILE_STEPS];"]
        lines += [f"{INDENT * 2}for (int64_t tile = length - 1; tile >= 0; tile--) {{"]
        lines += [f"{INDENT * 3}const int64_t start = tile * shape[TILE_STEPS];"]
        lines += [
            f"{INDENT * 3}const int64_t steps = count - start < shape[TILE_STEPS] ? count - start : shape[TILE_STEPS];"
        ]
        lines += self._replayed() if self._replays else []
        lines += [f"{INDENT * 3}for (int64_t n = steps - 1; n >= 0; n--) {{", _time()]
        for tensor in (*self._g, *self._dx):
            lines += driver.fetch(tensor, 4, True, tensor in self._dx)
        for tensor in (*self._x, *self._g):
            lines += driver.load(tensor, 4)
        for tensor in self._dx:
            lines += driver.place(tensor, 4)
        given = [code for tensor in self._x for code in driver.given(tensor)] + self._before_step()
        given += [code for tensor in self._g for code in driver.given(tensor)] + given_params(driver, self._w)
        given += self._kept_of(self._step.kernel, "n")
        lines.append(driver.call("step", given + [code for tensor in self._dx for code in driver.given(tensor)], 4))
        for tensor in self._dx:
            lines += driver.store(tensor, 4)
        lines += [f"{INDENT * 3}}}", f"{INDENT * 2}}}"]
        for tensor in (*self._dw, *self._ds):
            lines += driver.copy(tensor.port, tensor.name, "m", save=True, depth=2)
        lines += end_row(self._step.kernel, self._names, self._bounds + 3)
        free = " ".join(f"free({name});" for name in held)
        return "\n".join([*lines, f"{INDENT}}}", f"{INDENT}{free}", f"{INDENT}return 0;", "}"])

    def _before_step(self) -> list[str]:
        """The states before a step where the adjoint's step is called."""
        parts = [part for tensor in self._entry for part in tensor.port.parts]
        return [self._on_path(self._replay.kernel.array(part), "n") if self._replays else "NULL" for part in parts]

    def _on_path(self, array: Array, at: str) -> str:
        return f"{'' if array.sizes else '&'}path[{at}].{self._names(array.name)}"

    def _kept_of(self, kernel: Kernel, at: str) -> list[str]:
        """What the replay kept, as a kernel's step is given it."""
        own = dict(zip(kernel.kept, self._replay.kernel.kept, strict=True)) if kernel.kept else {}
        return [self._on_path(self._replay.kernel.array(own[name]), at) for name in kept_arrays(kernel)]

    def _replayed(self) -> list[str]:
        """The states before each step of a tile, from those at its beginning."""
        driver, primal = self._driver, self._replay.kernel
        lines = [driver.declare(tensor, "first + tile", True, 3) for tensor in self._entry]
        for tensor in self._entry:
            lines += driver.copy(tensor.port, tensor.name, "path[0]", save=False, depth=3, arrow=".")
        more = "" if primal.kept else "+ 1 "
        lines += [f"{INDENT * 3}for (int64_t n = 0; n {more}< steps; n++) {{", _time()]
        for tensor in self._x:
            lines += driver.fetch(tensor, 4)
        for tensor in self._x:
            lines += driver.load(tensor, 4)
        states = [primal.array(part) for port in primal.states for part in port.parts]
        given = [code for tensor in self._x for code in driver.given(tensor)] + given_params(driver, self._w)
        given += [self._on_path(array, at) for at in ("n", "n + 1") for array in states] + self._kept_of(primal, "n")
        return [*lines, self._walker.call("step", given, 4, "replay"), f"{INDENT * 3}}}"]


def kept_arrays(kernel: Kernel) -> list[str]:
    return [array.name for array in kernel.arrays if array.storage in KEPT]


def _time() -> str:
    return f"{INDENT * 4}const int64_t t = shape[REVERSE] ? count - 1 - start - n : start + n;"


def param_lines(driver: Driver, params: list[Tensor]) -> list[str]:
    """Complex params are taken apart once for a row."""
    return [
        line.replace("t * " + tensor.stride, "0")
        for tensor in params
        if tensor.port.complex
        for line in driver.load(tensor, 2)
    ]


def given_params(driver: Driver, params: list[Tensor]) -> list[str]:
    return [
        driver.shaped(part, driver.buffer(part) if tensor.port.complex else tensor.name)
        for tensor in params
        for part in tensor.port.parts
    ]


def _opening(bounds: int, made: tuple[str, ...], held: tuple[str, ...]) -> list[str]:
    """From the start of a function to where a row's tensors are found."""
    missing = " || ".join(f"!{name}" for name in held)
    free = " ".join(f"free({name});" for name in held)
    return [
        f"{INDENT}const int64_t width = 2 + shape[LANE_RANK];",
        *(f"{INDENT}{line}" for line in made),
        f"{INDENT}if ({missing}) {{",
        f"{INDENT * 2}{free}",
        f"{INDENT * 2}return 1;",
        f"{INDENT}}}",
        f"{INDENT}const int64_t *const bounds = data[{bounds}], *const tiles = data[{bounds + 1}];",
        f"{INDENT}for (int64_t row; (row = claim(next)) < shape[ROWS];) {{",
        f"{INDENT * 2}const int64_t sequence = row / shape[LANE_COUNT];",
        f"{INDENT * 2}const int64_t begin = bounds ? bounds[sequence] : 0;",
        f"{INDENT * 2}const int64_t count = bounds ? bounds[sequence + 1] - begin : shape[STEPS];",
        f"{INDENT * 2}const int64_t first = tiles ? tiles[sequence] : 0;",
    ]
