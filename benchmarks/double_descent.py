"""How long curves of double descent take, side by side with the obvious way in the same run.

    python benchmarks/double_descent.py [features] [widths]

Features: digits, n = 400, 25 sizes from 0.025 n to 20 n, 2 levels of label noise, 10 seeds; beside, NumPy's lstsq for
one seed. Widths: MNIST-1D, 12 widths, 3 seeds, 5,000 steps as populations of several widths; beside, one model at a
time with a fused torch optimizer, for a tenth of the steps; with 2 threads and with 1.
"""

import sys
import time

import numpy as np
import torch
from torch.nn.functional import cross_entropy

import thalweg as tw
from thalweg.generalization.double_descent import FourierFeatures, over_features, over_widths
from thalweg.generalization.double_descent.over_networks import own_sets

RATIOS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
RATIOS += (1, 1.02, 1.05, 1.1, 1.2, 1.5, 2, 3, 5, 10, 20)
WIDTHS, STEPS, SHARE = (6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128), 5_000, 10


def features() -> None:
    """Curves over features."""
    data, n, noise = tw.data.digits(), 400, (0.0, 0.2)
    sizes = [round(ratio * n) for ratio in RATIOS]
    began = time.perf_counter()
    over_features(data, sizes, n=n, scale=0.65, noise=noise, seeds=range(10), progress=None)
    ours = time.perf_counter() - began
    split = data.split_anew(n)
    x, _ = split.train.take(torch.arange(n))
    labels = [(split.with_label_noise(level, 0) if level else split).train.targets for level in noise]
    new = split.test.inputs.double().numpy()
    began = time.perf_counter()
    for size in sizes:
        draw = FourierFeatures(64, size, 0.65)
        for each in labels:  # a decomposition for every level of noise
            theta = np.linalg.lstsq(draw(x.double().numpy()), np.eye(10)[each.numpy()])[0]
            _ = draw(new) @ theta
    plain = 10 * (time.perf_counter() - began)
    print(f"features: {ours:.1f} s (at most 20); lstsq for each level of noise: {plain:.1f} s, {plain / ours:.1f}x")


def widths() -> None:
    """Widths of networks, by both numbers of threads."""
    for threads in (2, 1):
        torch.set_num_threads(threads)
        print(f"widths, {threads} threads: {_widths()}")


def _widths() -> str:
    data, seeds = tw.data.mnist1d(train=6_000, test=4_000), range(3)
    rule = tw.optim.Adam(3e-3)
    began = time.perf_counter()
    over_widths(data, WIDTHS, n=2_000, layers=2, seeds=seeds, steps=STEPS, optimizer=rule, evaluate=2, progress=None)
    ours = time.perf_counter() - began
    sets, _, _ = own_sets(data, 2_000, 0.2, list(seeds))
    began = time.perf_counter()
    for width in WIDTHS:
        for own in sets:
            net = tw.nets.mlp(40, width, width, 10)
            optimizer = torch.optim.Adam(net.parameters(), 3e-3, fused=True)
            for step in range(STEPS // SHARE):
                if step % 20 == 0:
                    order = torch.randperm(len(own))
                x, y = own.take(order[100 * (step % 20) : 100 * (step % 20 + 1)])
                optimizer.zero_grad()
                cross_entropy(net(x), y).backward()
                optimizer.step()
    plain = SHARE * (time.perf_counter() - began)
    return f"{ours:.1f} s; one model at a time: {plain:.1f} s, {plain / ours:.1f}x (at least 4)"


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or ("features", "widths"):
        {"features": features, "widths": widths}[name]()
