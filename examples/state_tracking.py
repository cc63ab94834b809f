"""Can a linear recurrence follow the permutations of three objects? With eigenvalues in [-1, 1] it can.

Compiles `specs/deltaproduct.rec` to a file, imports that file, and trains one layer of it on the word problem of the
group S3: a token is one of its six elements, and the answer at each position is the product of all tokens so far. With
`beta` in (0, 2) a factor I - beta k k^T may be a reflection, and two of them make any element of S3 (Grazzi et al.
2024, arXiv 2411.12537; Siems et al. 2025, arXiv 2502.10297). Words of up to 32 tokens are enough to learn it for much
longer ones; with `beta` in (0, 1), where no factor reflects, the same model fails even at the lengths it is trained on.

    python examples/state_tracking.py [--seed 0] [--steps 600] [--output build]
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import matplotlib
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from torch import Tensor, nn

import recc

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (the backend has to be chosen before)

SPEC = Path(__file__).parent.parent / "specs" / "deltaproduct.rec"
SEEN = 32
LENGTHS = (4, 16, 32, 64, 128, 256, 512)
HEADS, WIDTH, FACTORS = 4, 8, 2


def compiled(spec: Path, target: Path) -> ModuleType:
    """Writes the module that recc makes of a spec, and imports it as one would any file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(recc.compile(spec, n=FACTORS, command=f"python examples/{Path(__file__).name}"))
    found = importlib.util.spec_from_file_location(target.stem, target)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


class Tracker(nn.Module):
    """One layer: embedding, the compiled recurrence, readout. `beta` lies in (0, largest)."""

    def __init__(self, recurrence: Callable[..., tuple[Tensor, None]], largest: float) -> None:
        super().__init__()
        self.recurrence, self.largest = recurrence, largest
        features = HEADS * WIDTH
        self.embed = nn.Embedding(6, features)
        self.query = nn.Linear(features, features)
        self.key = nn.Linear(features, features * FACTORS)
        self.value = nn.Linear(features, features * FACTORS)
        self.beta = nn.Linear(features, HEADS * FACTORS)
        self.readout = nn.Sequential(nn.LayerNorm(features), nn.Linear(features, 64), nn.GELU(), nn.Linear(64, 6))

    def forward(self, tokens: Tensor) -> Tensor:
        """`tokens` (B, T) of 0..5; logits (B, T, 6)."""
        x = self.embed(tokens)
        B, T, _ = x.shape
        q = self.query(x).view(B, T, HEADS, WIDTH)
        k = nn.functional.normalize(self.key(x).view(B, T, HEADS, FACTORS, WIDTH), dim=-1)
        v = self.value(x).view(B, T, HEADS, FACTORS, WIDTH)
        # Four times as steep: the group needs `beta` at the end of its range, and what is missing adds up over tokens.
        beta = self.largest * torch.sigmoid(4 * self.beta(x).view(B, T, HEADS, FACTORS))
        o, _ = self.recurrence(q, k, v, beta, x.new_zeros(B, T, HEADS))
        return self.readout(o.reshape(B, T, -1))


def word_problem(batch: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Random words (B, T) over S3 and the products of their prefixes (B, T), as numbers of elements."""
    elements = torch.tensor(list(itertools.permutations(range(3))))
    tokens = torch.randint(6, (batch, length), generator=generator)
    product, products = torch.arange(3).expand(batch, 3), []
    for t in range(length):
        product = elements[tokens[:, t]].gather(1, product)
        products.append((product[:, None] == elements).all(-1).int().argmax(-1))
    return tokens, torch.stack(products, 1)


def train(model: Tracker, steps: int, seed: int, advance: Callable[[], None]) -> None:
    """Words of up to SEEN tokens, short ones first."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    for step in range(steps):
        length = min(SEEN, 4 + 2 * SEEN * step // steps)
        tokens, products = word_problem(64, length, generator)
        loss = nn.functional.cross_entropy(model(tokens).flatten(0, 1), products.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        advance()


@torch.no_grad()
def accuracy(model: Tracker, generator: torch.Generator) -> Tensor:
    """The share of right answers at each position (T,), over 512 words of the largest length."""
    tokens, products = word_problem(512, LENGTHS[-1], generator)
    return (model(tokens).argmax(-1) == products).float().mean(0)


def show(curves: dict[str, Tensor], console: Console, picture: Path) -> None:
    """Prints the accuracies at some positions, and draws those at all positions."""
    table = Table("position in the word", *curves, title="accuracy")
    for length in LENGTHS:
        position = f"{length}, longer than any in training" if length > SEEN else f"{length}"
        table.add_row(position, *(f"{curve[length - 1]:.1%}" for curve in curves.values()))
    console.print(table)
    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    axes.axvspan(1, SEEN, color="0.92", label="lengths in training")
    axes.axhline(1 / 6, color="0.6", linestyle=":", label="chance")
    for label, curve in curves.items():
        axes.plot(range(1, len(curve) + 1), curve, label=label)
    axes.set_xscale("log", base=2)
    axes.set(title="Word problem of S3, one layer", xlabel="position in the word", ylabel="accuracy", ylim=(0, 1.05))
    axes.legend(loc="center right")
    figure.savefig(picture, dpi=150)
    pyplot.close(figure)
    console.print(f"drawn in {picture}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the compiled deltaproduct on the word problem of S3.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--output", type=Path, default=Path("build"))
    options = parser.parse_args()
    torch.set_num_threads(1)  # the tensors of a step are too small to be worth dividing
    console = Console()
    module = compiled(SPEC, options.output / "deltaproduct_s3.py")
    curves = {}
    with Progress(console=console) as progress:
        for largest in (2.0, 1.0):
            torch.manual_seed(options.seed)
            model = Tracker(module.deltaproduct, largest)
            task = progress.add_task(f"training, beta in (0, {largest:g})", total=options.steps)
            train(model, options.steps, options.seed, lambda task=task: progress.advance(task))
            curves[f"beta in (0, {largest:g})"] = accuracy(model, torch.Generator().manual_seed(options.seed + 1))
    show(curves, console, options.output / "state_tracking.png")


if __name__ == "__main__":
    main()
