"""Grokking: networks on a table of addition as one population, and one after the other by a plain loop.

    python benchmarks/grokking.py

prints a line for 2 threads, each of which then has members of its own, and one for 1: seconds for 4 seeds of p = 59,
half the table, width 256, AdamW lr 5e-3, decay 0.3, until all have generalized (train until=, resume=), and for as many
steps of 4 plain loops of torch with its fused AdamW on one-hot pairs, and on lookups.
"""

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import thalweg as tw
from thalweg.generalization import grokking

P, SEEDS, LR, DECAY, MOST, PIECE, EVERY, PLAIN = 59, 4, 5e-3, 0.3, 4_000, 200, 10, 200


def population() -> tuple[float, int]:
    """Seconds, and the step at which the last member had generalized, to the next piece."""
    table = tw.data.modular(P, encoding="tokens")
    problem = tw.Problem(lambda: tw.nets.modular_mlp(P), table)
    recipe = tw.Recipe(tw.optim.AdamW(LR, beta2=0.98, weight_decay=DECAY), MOST, evaluate=tuple(range(0, MOST, EVERY)))
    began = time.perf_counter()
    run = tw.train(problem, recipe, SEEDS, until=PIECE, progress=None)
    while run.step < MOST and not grokking.times(run)["generalized"].max() <= run.step:
        run = tw.train(problem, recipe, SEEDS, resume=run, until=run.step + PIECE, progress=None)
    return time.perf_counter() - began, run.step


def plain(inputs: Callable[[Tensor], Tensor], model: Callable[[], nn.Module], steps: int) -> float:
    """Seconds of a loop as one would write it, for all seeds, from PLAIN steps of each."""
    data = tw.data.modular(P, encoding="tokens")
    pairs, targets = data.train.slice(0, len(data.train))
    held, answers = data.test.slice(0, len(data.test))
    x, tested = inputs(pairs), inputs(held)
    began = time.perf_counter()
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        net = model()
        rule = torch.optim.AdamW(net.parameters(), LR, (0.9, 0.98), weight_decay=DECAY, fused=True)
        for step in range(PLAIN):
            rule.zero_grad()
            F.cross_entropy(net(x), targets).backward()
            rule.step()
            if step % EVERY == 0:
                with torch.no_grad():
                    for one, right in ((x, targets), (tested, answers)):
                        float((net(one).argmax(1) == right).float().mean())
    return (time.perf_counter() - began) * steps / PLAIN


def main() -> None:
    """Print the table."""
    one_hot = lambda pairs: torch.cat([F.one_hot(pairs[:, 0], P), F.one_hot(pairs[:, 1], P)], dim=1).float()  # noqa: E731
    for threads in (2, 1):
        torch.set_num_threads(threads)
        seconds, steps = population()
        products = plain(one_hot, lambda: tw.nets.mlp(2 * P, 256, P, bias=False), steps)
        lookups = plain(lambda pairs: pairs, lambda: tw.nets.modular_mlp(P), steps)
        print(
            f"{threads} threads: {SEEDS} networks, {steps:,} steps, all generalize in {seconds:.1f} s; plain loops "
            f"take {products:.1f} s on one-hot pairs ({products / seconds:.1f}x) and {lookups:.1f} s on lookups "
            f"({lookups / seconds:.1f}x)"
        )


if __name__ == "__main__":
    main()
