"""`forward`, as a caller sees it, where rows are walked side by side in blocks.

It takes what that of `walk` takes."""

from __future__ import annotations

from recc.backends.cpu.blocks import CLEARED, EACH_ROW, PAST, ROW, Blocks, time_of
from recc.backends.cpu.drive import HEAD
from recc.backends.cpu.names import Names
from recc.backends.cpu.statements import INDENT
from recc.backends.cpu.step import StepPrinter
from recc.backends.cpu.turned import Turned
from recc.backends.cpu.walk import forward_tensors, given_params, kept_arrays
from recc.backends.cpu.walk_stretches import ahead_of, behind_of, pointed, read_by, shared_by, timed_arrays
from recc.ir.kernel import Kernel


class BlockForward:
    """`forward`, a block at a time."""

    def __init__(self, step: StepPrinter, replay: Kernel, names: Names):
        also = timed_arrays(step.kernel)
        self._step, self._blocks, self._names = step, Blocks(step, names, also=also), names
        own = dict(zip(step.kernel.kept, replay.kept, strict=True))
        self._past = [own[name] for name in kept_arrays(step.kernel)]  # as the replay calls them
        groups, self._bounds = forward_tensors(step.kernel, names)
        self._x, self._w, self._s, self._y, self._final, self._entry = groups
        self._ahead = ahead_of(step, names, self._x, self._w)
        self._behind = behind_of(step, names, self._y, self._w)
        self._turned = Turned(step, self._w)

    def stretches(self) -> list[str]:
        return [text for item in (*self._ahead, *self._behind) for text in item.text()]

    def memory(self) -> str:
        blocks = self._blocks
        timed = [*self._x, *read_by(self._step, self._y)]
        return self._step.memory([*blocks.buffers(timed), *blocks.params(self._w), "struct states scratch;"])

    def text(self) -> str:
        blocks = self._blocks
        held = {"m": ("struct forward_memory", "sizeof(struct forward_memory)")}
        before = (
            [blocks.driver.call("before", given_params(blocks.driver, self._w), 2)] if self._step.kernel.before else []
        )
        for item in (*self._ahead, *self._behind):
            held |= item.held
            before += item.before(blocks)
        for item in self._behind:
            held |= item.held_past(item.steps)
        held |= self._turned.held
        lines = [HEAD.format(name="forward"), *blocks.opening(held, self._bounds)]
        lines += [*blocks.prepared([CLEARED.format("m")], self._w, before), *self._turned.lines()]
        lines.append(PAST.format(self._bounds + 2))
        lines += blocks.declare([*self._x, *self._s], False) + blocks.declare([*self._y, *self._final], True)
        lines += [f"{INDENT * 2}{EACH_ROW} {{"]
        shared = shared_by([*self._ahead, *self._behind])
        lines += [blocks.point(tensor, "block.begin[row]", False) for tensor in self._x if tensor not in shared]
        lines += [blocks.point(tensor, "0", False) for tensor in self._s]
        lines += [blocks.point(tensor, "block.begin[row]", True) for tensor in self._y if tensor not in shared]
        lines += [blocks.point(tensor, "0", True) for tensor in self._final]
        lines += [f"{INDENT * 3}if (row >= block.rows) continue;"]
        lines += blocks.copy(self._s, "m", save=False, depth=3)
        lines += [f"{INDENT * 3}if (block.count[row] > 0) continue;"]
        lines += blocks.copy(self._final, "m", save=True, depth=3)
        lines += [f"{INDENT * 2}}}", *pointed(blocks, self._ahead, False), *pointed(blocks, self._behind, True)]
        lines += self._steps()
        return "\n".join([*lines, *blocks.closing(held)])

    def _steps(self) -> list[str]:
        blocks = self._blocks
        lines = [f"{INDENT * 2}for (int64_t n = 0; n < block.longest; n++) {{"]
        for item in self._ahead:
            lines += item.lines(blocks, f"n % {item.steps} == 0", "n", "block.longest", "", 3)
        x, y = (read_by(self._step, tensors) for tensors in (self._x, self._y))
        lines.append(f"{INDENT * 3}struct states *const here = past ? past + n : &m->scratch;")
        lines += blocks.values([*x, *y], 3)
        lines += [f"{INDENT * 3}{EACH_ROW} {{", f"{INDENT * 4}if (n >= block.count[row]) {{"]
        lines += [*blocks.absent([*x, *y], 5), f"{INDENT * 5}continue;", f"{INDENT * 4}}}"]
        lines.append(time_of("n", "n", 4))
        lines += self._save_entry() + self._save_states()
        lines += [line for tensor in x for line in blocks.load(tensor, 4)]
        lines += [line for tensor in y for line in blocks.place(tensor, 4)]
        given = ["me", *blocks.given(x), *given_params(blocks.driver, self._w)]
        given += [f"here->{self._names(name)}" for name in self._past]
        given += [code for item in self._ahead for code in item.given()] + blocks.given(y)
        lines += [f"{INDENT * 3}}}", blocks.driver.call("step", given, 3)]
        lines += [f"{INDENT * 3}{EACH_ROW} {{", *self._keep_past()]
        lines.append(f"{INDENT * 4}if (n >= block.count[row]) continue;")
        lines.append(time_of("n", "n", 4))
        lines += [line for tensor in y for line in blocks.store(tensor, 4)]
        lines += [f"{INDENT * 4}if (n + 1 < block.count[row]) continue;"]
        lines += [*blocks.copy(self._final, "m", save=True, depth=4), f"{INDENT * 3}}}"]
        return [*lines, *self._after(), f"{INDENT * 2}}}"]

    def _keep_past(self) -> list[str]:
        """A row's values that are read behind a stretch."""
        kept = dict(zip(kept_arrays(self._step.kernel), self._past, strict=True))
        lines: list[str] = []
        for item in self._behind:
            for name, to, size in item.kept_rows(f"(n % {item.steps} * BLOCK_ROWS + row)"):
                place = f"here->{self._names(kept[name])}" if name in kept else f"m->{self._names(name)}"
                address = f"{'' if self._blocks.array(name).sizes[1:] else '&'}{place}[row]"
                lines.append(f"{INDENT * 4}memcpy({to}, {address}, {size});")
        return lines

    def _after(self) -> list[str]:
        """What is computed behind the last step of a stretch."""
        lines: list[str] = []
        for item in self._behind:
            lines += [f"{INDENT * 3}if ((n + 1) % {item.steps} == 0 || n + 1 == block.longest) {{"]
            own = item.lines(self._blocks, "0", f"(n - n % {item.steps})", "(n + 1)", "", 4)
            lines += [f"{INDENT * 4}meet(me);", *own, f"{INDENT * 4}meet(me);", f"{INDENT * 3}}}"]
        return lines

    def _save_states(self) -> list[str]:
        """The states before a step, where those of all steps are kept."""
        parts = [self._names(part) for tensor in self._s for part in tensor.port.parts]
        return [f"{INDENT * 4}if (past) memcpy(&here->{part}[row], &m->{part}[row], sizeof m->{part}[row]);"
                for part in parts]  # fmt: skip

    def _save_entry(self) -> list[str]:
        blocks = self._blocks
        lines = [f"{INDENT * 4}if (data[{self._entry[0].place}] && n % shape[TILE_STEPS] == 0) {{"]
        begin = "block.first[row] + n / shape[TILE_STEPS]"
        for tensor in self._entry:
            lines.append(blocks.driver.declare(tensor, begin, False, 5, ROW))
            lines += blocks.driver.copy(tensor.port, tensor.name, "m", save=True, depth=5, row="[row]")
        return [*lines, f"{INDENT * 4}}}"]
