"""Handwritten digits, read row by row by three recurrences: gated linear attention, the LRU and a GRU.

Each is compiled from `specs/` by `recc.load`, wrapped in a residual block, and trained on scikit-learn's 1,797 digits
of 8 x 8 pixels, as sequences of 8 rows. A table gives the accuracies on the half of the digits that was not trained on.

    python examples/digits.py [--seed 0] [--epochs 20]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import recc

WIDTH, HEADS = 64, 4


class Split(NamedTuple):
    """Images (N, rows, columns) from 0 to 1 and their digits (N,)."""

    images: Tensor
    digits: Tensor


class GatedLinearAttention(nn.Module):
    """`gla` with heads as lanes: a matrix state that each step's gates decay row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrence = recc.load("gla")
        self.project = nn.Linear(WIDTH, 4 * WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v, gate = self.project(x).unflatten(-1, (4, HEADS, WIDTH // HEADS)).unbind(-3)
        o, _ = self.recurrence(q, k, v, nn.functional.logsigmoid(gate + 2))
        return o.flatten(-2)


class LinearRecurrentUnit(nn.Module):
    """`lru`: a complex diagonal that is constant in time, with eigenvalues on a ring inside of the unit circle."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrence = recc.load("lru")
        self.B = nn.Linear(WIDTH, 2 * WIDTH)
        radius, angle = torch.empty(WIDTH).uniform_(0.5, 0.95), torch.empty(WIDTH).uniform_(0.01, 3.1)
        self.nu = nn.Parameter(torch.log(-torch.log(radius)))
        self.theta = nn.Parameter(torch.log(angle))
        self.C = nn.Parameter(torch.randn(WIDTH, WIDTH, dtype=torch.complex64) * WIDTH**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        u = torch.complex(*self.B(x).chunk(2, -1))
        y, _ = self.recurrence(u, self.nu, self.theta, self.C)
        return y


class GatedRecurrentUnit(nn.Module):
    """`gru`: nonlinear in its state, and so run step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrence = recc.load("gru")
        self.project = nn.Linear(WIDTH, 3 * WIDTH)
        self.U = nn.Parameter(torch.randn(3, WIDTH, WIDTH) * WIDTH**-0.5)
        self.b_n = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.recurrence(*self.project(x).chunk(3, -1), *self.U, self.b_n)
        return h


class Classifier(nn.Module):
    """Two residual blocks of one recurrence, the mean over time, and ten logits."""

    def __init__(self, recurrence: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.embed = nn.Linear(8, WIDTH)
        self.recurrences = nn.ModuleList(recurrence() for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.readout = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10))

    def forward(self, images: Tensor) -> Tensor:
        """`images` (B, T, 8); logits (B, 10)."""
        x = self.embed(images)
        for norm, recurrence in zip(self.norms, self.recurrences, strict=True):
            x = x + nn.functional.gelu(recurrence(norm(x)))
        return self.readout(x.mean(1))


def digits(seed: int) -> tuple[Split, Split]:
    """The halves to train on and to test on."""
    data, target = load_digits(return_X_y=True)
    images = torch.tensor(data, dtype=torch.float32).view(-1, 8, 8) / 16
    chosen, rest = train_test_split(range(len(images)), test_size=0.5, random_state=seed, stratify=target)
    labels = torch.tensor(target)
    return Split(images[chosen], labels[chosen]), Split(images[rest], labels[rest])


def train(model: nn.Module, split: Split, epochs: int, advance: Callable[[], None]) -> None:
    batches = (len(split.images) + 63) // 64
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * batches)
    for _ in range(epochs):
        for chosen in torch.randperm(len(split.images)).split(64):
            loss = nn.functional.cross_entropy(model(split.images[chosen]), split.digits[chosen])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        advance()


@torch.no_grad()
def accuracy(model: nn.Module, split: Split) -> float:
    return (model(split.images).argmax(-1) == split.digits).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description="Classify handwritten digits with three recurrences.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)  # the tensors of a step are too small to be worth dividing
    console = Console()
    seen, unseen = digits(options.seed)
    table = Table("recurrence", "training digits", "test digits", "seconds")
    with Progress(console=console) as progress:
        for recurrence in (GatedLinearAttention, LinearRecurrentUnit, GatedRecurrentUnit):
            torch.manual_seed(options.seed)
            model = Classifier(recurrence)
            task = progress.add_task(recurrence.__name__, total=options.epochs)
            start = time.perf_counter()
            train(model, seen, options.epochs, lambda task=task: progress.advance(task))
            scores = f"{accuracy(model, seen):.1%}", f"{accuracy(model, unseen):.1%}"
            table.add_row(recurrence.__name__, *scores, f"{time.perf_counter() - start:.0f}")
    console.print(table)


if __name__ == "__main__":
    main()
