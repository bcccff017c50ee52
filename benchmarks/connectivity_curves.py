"""Ten Bezier curves between digits networks: as one population, one after another, and by a plain loop of torch's.

    python benchmarks/connectivity_curves.py

All three train a bend for 600 steps at two values of t on one batch, and evaluate 61 points of curve and straight line
on all training examples. A curve counts where its highest point is below 5 % of the height of the straight line and its
training error rises by less than 2 points. Ways take turns; what is printed is the fastest of the turns.
"""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

import thalweg as tw
from thalweg.connectivity import Curve, bezier, curve_schedule

CURVES, STEPS, BATCH, POINTS, REPEATS = 10, 600, 50, 61, 3


def network() -> nn.Module:
    """64-64-64-10 with ReLU by He's rule, biases zero."""
    net = tw.nets.mlp(64, 64, 64, 10)
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def digits() -> tw.Problem:
    """1,347 digits without their mean, in units of the standard deviation of all pixels."""
    split = tw.data.digits().split_anew(1_347, seed=0)
    center, scale = split.train.inputs.mean(0), split.train.inputs.std()
    train = tw.data.Examples((split.train.inputs - center) / scale, split.train.targets)
    return tw.Problem(network, replace(split, train=train, test=None))


def plain(problem: tw.Problem, first: nn.Module, second: nn.Module, seed: int) -> Tensor:
    """One curve as one writes it by hand; the losses at the points of curve and line."""
    x, y = problem.data.train.inputs, problem.data.train.targets
    a, c = ({name: p.detach() for name, p in net.named_parameters()} for net in (first, second))
    bend = {name: (0.5 * (a[name] + c[name])).requires_grad_() for name in a}
    optimizer = torch.optim.SGD(bend.values(), lr=0.1, momentum=0.9)
    schedule, draw, net = curve_schedule(STEPS), torch.Generator().manual_seed(seed), network()

    def point(t: float) -> dict[str, Tensor]:
        return {k: (1 - t) ** 2 * a[k] + 2 * t * (1 - t) * bend[k] + t**2 * c[k] for k in a}

    order = torch.randperm(len(x), generator=draw)
    for step in range(STEPS):
        k = step % (len(x) // BATCH)
        if k == 0:
            order = torch.randperm(len(x), generator=draw)
        batch, u = order[k * BATCH : (k + 1) * BATCH], float(torch.rand((), generator=draw))
        optimizer.param_groups[0]["lr"] = 0.1 * float(schedule(step + 1, STEPS))
        optimizer.zero_grad()
        for t in (u / 2, 0.5 + u / 2):
            theta = point(t)
            decay = sum(p.square().sum() for p in theta.values())
            loss = F.cross_entropy(functional_call(net, theta, (x[batch],)), y[batch]) + 0.5e-3 * decay
            (loss / 2).backward()
        optimizer.step()
    with torch.no_grad():
        values = [F.cross_entropy(functional_call(net, point(t), (x,)), y) for t in np.linspace(0, 1, POINTS).tolist()]
        for t in np.linspace(0, 1, POINTS).tolist():
            line = {k: (1 - t) * a[k] + t * c[k] for k in a}
            values.append(F.cross_entropy(functional_call(net, line, (x,)), y))
    return torch.stack(values)


def main() -> None:
    """Print seconds, ratios and how low the curves are."""
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}; the fastest of {REPEATS}")
    problem = digits()
    recipe = tw.Recipe(tw.optim.Momentum(0.1, weight_decay=1e-3), STEPS, BATCH, tw.schedules.Cosine(), evaluate=0)
    ends = tw.train(problem, recipe, seeds=2 * CURVES).final
    first, second = ends[::2], ends[1::2]
    pairs = [(first.module(member), second.module(member)) for member in range(CURVES)]
    found: dict[str, list[Curve]] = {}

    def together() -> None:
        found["together"] = [bezier(problem, first, second)]

    def one_by_one() -> None:
        found["alone"] = [bezier(problem, first[member], second[member]) for member in range(CURVES)]

    def by_hand() -> None:
        for member, pair in enumerate(pairs):
            plain(problem, *pair, seed=member)

    ways: dict[str, Callable[[], None]] = {
        "one population": together,
        "one after another": one_by_one,
        "a plain loop, one after another": by_hand,
    }
    wall, cpu = ({way: float("inf") for way in ways} for _ in range(2))
    for _ in range(REPEATS):
        for way, work in ways.items():
            began, busy = time.perf_counter(), time.process_time()
            work()
            wall[way] = min(wall[way], time.perf_counter() - began)
            cpu[way] = min(cpu[way], time.process_time() - busy)
    for way in ways:
        ratio = wall[way] / wall["one population"], cpu[way] / cpu["one population"]
        print(f"  {way:32s} {wall[way]:6.2f} s {ratio[0]:5.1f} x   processor {cpu[way]:6.2f} s {ratio[1]:5.1f} x")
    for name, curves in found.items():
        share = np.concatenate([curve.share_of_line() for curve in curves])
        rise = 100 * np.concatenate([curve.height("error") for curve in curves])
        good = int(((share < 0.05) & (rise < 2)).sum())
        low = f"highest {share.max():.1%} of the line, train error + {rise.max():.2f} points"
        print(f"  {name}: {good} of {CURVES}; {low}")


if __name__ == "__main__":
    main()
