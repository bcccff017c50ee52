"""One member alone against a plain torch loop, side by side in one run.

    python benchmarks/alone.py

The plain loop is what one writes by hand, once with torch's default AdamW and once with its fused kernel.
Ratios above 1 mean that Thalweg is slower. Medians over interleaved repeats.
"""

import statistics
import time

import torch
import torch.nn.functional as F

import thalweg as tw
from thalweg.data import digits
from thalweg.nets import mlp

BATCH, STEPS, REPEATS = 128, 300, 9
SIZES = [(64, 32, 32, 10), (64, 128, 128, 10), (64, 512, 512, 10)]


def plain(widths: tuple[int, ...], *, fused: bool) -> float:
    """Seconds a step of a hand-written loop."""
    train = digits().train
    inputs, targets = train.inputs, train.targets
    module = mlp(*widths)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=fused)
    batches = len(train) // BATCH
    started = time.perf_counter()
    for step in range(STEPS):
        if step % batches == 0:
            order = torch.randperm(len(train))
        chosen = order[step % batches * BATCH : (step % batches + 1) * BATCH]
        loss = F.cross_entropy(module(inputs[chosen]), targets[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return (time.perf_counter() - started) / STEPS


def alone(widths: tuple[int, ...]) -> float:
    """Seconds a step of `train` with one member."""
    problem = tw.Problem(lambda: mlp(*widths), digits())
    return tw.train(problem, tw.Recipe(tw.optim.AdamW(lr=1e-3), STEPS, BATCH, evaluate=0)).seconds / STEPS


def main() -> None:
    """Print the table."""
    arms = {
        "thalweg": alone,
        "plain, default AdamW": lambda widths: plain(widths, fused=False),
        "plain, fused AdamW": lambda widths: plain(widths, fused=True),
    }
    for widths in SIZES:
        seconds: dict[str, list[float]] = {name: [] for name in arms}
        for _ in range(REPEATS):
            for name, arm in arms.items():
                seconds[name].append(arm(widths))
        median = {name: statistics.median(values) for name, values in seconds.items()}
        print(f"MLP {'-'.join(map(str, widths))}, {STEPS} steps")
        for name, value in median.items():
            print(f"  {name:22s} {1e3 * value:6.2f} ms a step; thalweg takes {median['thalweg'] / value:.2f}x of it")


if __name__ == "__main__":
    main()
