"""Ticket searches, packed files and sliced layers, each side by side with the obvious way in the same run.

    python benchmarks/tickets.py [search] [files] [sliced]

Search: MNIST-1D, MLP 40-100-100-10, 500 steps, 18 rounds, 5 seeds, ticket and two controls as one population; beside,
one network at a time by a plain loop of torch with its fused SGD and a mask, for a part of the steps, and all at once
by a loop that is written for this one network. On two idle cores of an AMD EPYC that one is 4.8 times as fast as one
at a time, and the search 2.8 times; on one busy core 2.8 to 2.9 and 1.8 to 2.4 times. Backward passes by autograd are
a third of the search, and calls from Python a quarter.

Files: packed LeNet-300-100 at 90 and 98 % (at most 143 and 38 KB). Sliced: MLP 1024 wide, batch 256, 75 % of the units
removed.
"""

import math
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

import thalweg as tw

STEPS, ROUNDS, SEEDS, ARMS, PLAIN = 500, 18, 5, ("ticket", "reinit", "shuffled"), 1_000


def search() -> None:
    """A search with its controls."""
    rule = tw.optim.Momentum(0.3, weight_decay=1e-3)
    recipe = tw.Recipe(rule, STEPS, 100, tw.schedules.Cosine(), evaluate=1, evaluate_train_on=tw.Sample("train", 500))
    problem, other = (tw.Problem(lambda: tw.nets.mlp(40, 100, 100, 10), tw.data.mnist1d()) for _ in range(2))
    short = tw.Recipe(rule, 2, 100, evaluate=1)
    tw.tickets.search(other, short, seeds=SEEDS, rounds=1, arms=ARMS, progress=None)  # the first call imports much
    began = time.perf_counter()
    found = tw.tickets.search(problem, recipe, seeds=SEEDS, rounds=ROUNDS, arms=ARMS, progress=None)
    ours = time.perf_counter() - began
    one_at_a_time(problem)  # and so do the first steps of an optimizer of torch
    plain = one_at_a_time(problem) * found.cost.steps / PLAIN
    least = by_hand(problem) * found.cost.steps / (PLAIN * len(ARMS) * SEEDS)
    print(
        f"search: {found.cost.steps:,} steps of one network in {ours:.1f} s; one at a time {plain:.1f} s, "
        f"{plain / ours:.1f}x (at least 3x); stacked by hand {least:.1f} s, which would be {plain / least:.1f}x"
    )


def one_at_a_time(problem: tw.Problem) -> float:
    """Seconds of PLAIN steps of a loop as one would write it, half of its weights masked."""
    x, y = problem.data.train.take(torch.arange(len(problem.data.train)))
    net = tw.nets.mlp(40, 100, 100, 10)
    rule = torch.optim.SGD(net.parameters(), 0.3, momentum=0.9, weight_decay=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(rule, PLAIN)
    masks = [(one, (torch.rand(one.shape) < 0.5).float()) for one in net.parameters() if one.ndim == 2]
    order = torch.Generator().manual_seed(0)
    began = time.perf_counter()
    for _ in range(PLAIN):
        batch = torch.randint(len(x), (100,), generator=order)
        rule.zero_grad()
        cross_entropy(net(x[batch]), y[batch]).backward()
        rule.step()
        schedule.step()
        with torch.no_grad():
            for parameter, mask in masks:
                parameter.mul_(mask)
    return time.perf_counter() - began


@torch.no_grad()
def by_hand(problem: tw.Problem) -> float:
    """Seconds of PLAIN steps of all members of a level, stacked, with gradients by their formulas, half of it masked.

    What no engine that takes any model can fall short of: products, elementwise functions in place, the fused update
    and the mask; nothing is evaluated, checked or kept.
    """
    x, y = problem.data.train.take(torch.arange(len(problem.data.train)))
    members = len(ARMS) * SEEDS
    shapes = [(100, 40), (100, 1), (100, 100), (100, 1), (10, 100), (10, 1)]
    theta = torch.cat([problem.initialize(SEEDS).theta] * len(ARMS))
    gradient, momentum, mask = torch.zeros_like(theta), torch.zeros_like(theta), (torch.rand_like(theta) < 0.5).float()
    sizes = [rows * columns for rows, columns in shapes]

    def views(flat: torch.Tensor) -> list[torch.Tensor]:
        return [one.view(members, *shape) for one, shape in zip(flat.split(sizes, 1), shapes, strict=True)]

    (w1, b1, w2, b2, w3, b3), parts = views(theta), views(gradient)
    order = torch.Generator().manual_seed(0)
    began = time.perf_counter()
    for step in range(PLAIN):
        batch = torch.randint(len(x), (SEEDS, 100), generator=order).repeat(len(ARMS), 1)
        inputs, targets = x[batch], y[batch]
        h1 = torch.baddbmm(b1, w1, inputs.mT).relu_()
        h2 = torch.baddbmm(b2, w2, h1).relu_()
        error = torch.softmax(torch.baddbmm(b3, w3, h2), 1)
        error.scatter_add_(1, targets.unsqueeze(1), error.new_full((members, 1, 100), -1.0)).div_(100)
        second = torch.bmm(w3.mT, error).mul_(h2 > 0)
        first = torch.bmm(w2.mT, second).mul_(h1 > 0)
        products = (first, inputs), (second, h1.mT), (error, h2.mT)
        for place, (left, right) in enumerate(products):
            parts[2 * place].copy_(torch.bmm(left, right))
            torch.sum(left, 2, keepdim=True, out=parts[2 * place + 1])
        gradient.mul_(mask)
        rate = 0.3 * 0.5 * (1 + math.cos(math.pi * step / PLAIN))
        torch._fused_sgd_(
            [theta],
            [gradient],
            [momentum],
            weight_decay=1e-3,
            momentum=0.9,
            lr=rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )
        theta.mul_(mask)
    return time.perf_counter() - began


def files() -> None:
    """Bytes of LeNet-300-100, which is dense 1,066 KB."""
    problem = tw.Problem(lambda: tw.nets.mlp(784, 300, 100, 10), (torch.randn(64, 784), torch.arange(64) % 10))
    dense = problem.initialize(1)
    for share, most in ((0.1, 143), (0.02, 38)):
        ticket = dense.with_mask(tw.tickets.prune(problem, dense.theta.abs(), share))
        with tempfile.TemporaryDirectory() as folder:
            packed = tw.tickets.pack(ticket, Path(folder) / "ticket.safetensors")
        print(
            f"files: LeNet-300-100 at {1 - share:.0%} takes {packed.size / 1_000:.1f} KB (at most {most}), "
            f"{float(packed['ratio']):.1f}x smaller than dense; {', '.join(sorted(set(packed.codes.values())))}"
        )


def sliced() -> None:
    """A quarter of the units against all of them."""
    inputs = torch.randn(256, 1024), torch.arange(256) % 10
    problem = tw.Problem(lambda: tw.nets.mlp(1024, 1024, 1024, 1024, 10), inputs)
    dense = problem.initialize(1)
    small = tw.tickets.sliced(problem, dense, {f"hidden{layer}": range(256) for layer in (1, 2, 3)})
    found = tw.tickets.receipt(problem, dense, sliced=small, batches=(1, 32, 256), rounds=40)
    column = list(found.modules).index("sliced")
    for row, batch in enumerate(found.reading.coordinate("batch")):
        first, second = 1_000 * found["latency"][row, [0, column]]
        print(
            f"sliced: batch {batch}, {first:.2f} ms dense, {second:.2f} ms without 75 % of the units, "
            f"{found['speedup'][row, column]:.1f}x{' (at least 3x)' if batch == 256 else ''}"
        )


def main() -> None:
    """Print what is asked for, or all of it."""
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    parts = {"search": search, "files": files, "sliced": sliced}
    for name in sys.argv[1:] or parts:
        parts[name]()


if __name__ == "__main__":
    main()
