"""Surfaces against a bare loop over points, and eigenvalues against power iteration, side by side in one run.

    python benchmarks/landscape.py

The bare loop has its data in memory and sets the parameters of one module: nothing is faster point by point. Power
iteration with deflation is what PyHessian does: up to 100 products an eigenvalue, until two Rayleigh quotients in a row
agree to 1e-3. Its count of products is given with the error it leaves.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils import vector_to_parameters

import thalweg as tw
from thalweg import curvature, landscape, spectra

SIZES = {"64-128-128-10, 1,797 digits": ((64, 128, 128, 10), 1_797), "64-16-16-10, 128 digits": ((64, 16, 16, 10), 128)}
RESOLUTION, REPEATS = 51, 3


def timed(work: Callable[..., Any], *given: Any, **options: Any) -> tuple[float, Any]:
    """Seconds, and the result."""
    started = time.perf_counter()
    result = work(*given, **options)
    return time.perf_counter() - started, result


def digits(count: int) -> tuple[Tensor, Tensor]:
    """The first so many digits, training and test examples together."""
    data = tw.data.digits()
    parts = [(one.inputs, one.targets) for one in (data.train, data.test)]
    x, y = (torch.cat(each) for each in zip(*parts, strict=True))
    return x[:count], y[:count]


@torch.no_grad()
def bare(module: torch.nn.Module, center: Tensor, directions: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """The loss at every point of the grid, by a loop."""
    parameters, losses = list(module.parameters()), []
    axis = torch.linspace(-1, 1, RESOLUTION).tolist()
    for a in axis:
        for b in axis:
            vector_to_parameters(center + a * directions[0] + b * directions[1], parameters)
            losses.append(cross_entropy(module(x), y).item())
    return torch.tensor(losses).view(RESOLUTION, RESOLUTION)


def power_iteration(operator: spectra.Operator, k: int) -> list[float]:
    """Eigenvalues of largest magnitude one after the other, each deflated from the next."""
    values: list[float] = []
    vectors: list[Tensor] = []
    for rank in range(k):
        v = torch.randn(operator.shape, generator=torch.Generator().manual_seed(rank))
        before = None
        for _ in range(100):
            for known in vectors:
                v = v - (v * known).sum() * known
            v = v / (v.norm() + 1e-6)
            image = operator(v)
            value = float((image * v).sum())
            v = image
            if before is not None and abs(value - before) / (abs(value) + 1e-6) < 1e-3:
                break
            before = value
        values.append(value)
        vectors.append(v / (v.norm() + 1e-6))
    return values


def surfaces(title: str, widths: tuple[int, ...], count: int) -> str:
    """A line on one size of network and data."""
    x, y = digits(count)
    problem = tw.Problem(lambda: tw.nets.mlp(*widths), (x, y), metrics={})
    center = problem.initialize(1)
    axes = [direction[0] for direction in landscape.plane(problem, center, resolution=2).directions]
    ours, theirs = [], []
    for _ in range(REPEATS):
        problem.plans.clear()
        seconds, found = timed(landscape.plane, problem, center, directions=axes, resolution=RESOLUTION)
        ours.append(seconds)
        seconds, wanted = timed(bare, center.module(0), center.theta[0], axes, x, y)
        theirs.append(seconds)
    off = float((torch.tensor(found["loss"][0]) - wanted).abs().max() / wanted.max())
    mine, bares = statistics.median(ours), statistics.median(theirs)
    plan = found.reading.provenance.plan
    return f"{title:28s} {mine:.2f} s ({plan}), bare loop {bares:.2f} s: {mine / bares:.2f}x; they differ by {off:.0e}"


def few() -> Iterator[str]:
    """A line each on surfaces from few of their points, by time and by examples seen."""
    x, y = digits(1_797)
    trained = {
        "64-128-128-10, 1,797 digits": tw.Problem(lambda: tw.nets.mlp(64, 128, 128, 10), (x, y), metrics={}),
        "40-100-100-10, MNIST-1D": tw.Problem(lambda: tw.nets.mlp(40, 100, 100, 10), tw.data.mnist1d(), metrics={}),
    }
    for title, problem in trained.items():
        run = tw.train(problem, tw.Recipe(tw.optim.AdamW(1e-3), 400, batch_size=128, evaluate=0))
        seconds: dict[str, list[float]] = {"few": [], "all": []}
        for _ in range(REPEATS):
            problem.plans.clear()
            passed, some = timed(landscape.plane, problem, run.final, resolution=RESOLUTION, tolerance=0.01)
            seconds["few"].append(passed)
            passed, whole = timed(landscape.plane, problem, run.final, resolution=RESOLUTION)
            seconds["all"].append(passed)
        off = abs(some["loss"] - whole["loss"]).max() / (whole["loss"].max() - whole["loss"].min())
        times = statistics.median(seconds["all"]) / statistics.median(seconds["few"])
        passes = whole.reading.cost.forwards / some.reading.cost.forwards
        yield f"{title:28s} {times:.1f} times faster, {passes:.1f} times fewer examples; off by {off:.2%} of the range"


def eigenvalues() -> str:
    """Two lines on the top eigenvalues of one network."""
    problem = tw.Problem(lambda: tw.nets.mlp(64, 512, 512, 10), tw.data.digits())
    run = tw.train(problem, tw.Recipe(tw.optim.Momentum(0.1), 100, batch_size=128, evaluate=0))
    operator = curvature.hessian(problem, run.final)
    exact = spectra.top_eigenvalues(operator, 5, which="magnitude", tolerance=1e-6).values[0]
    found = spectra.top_eigenvalues(operator, 5, which="magnitude", tolerance=1e-2)
    before = operator.products
    slow = power_iteration(operator, 5)
    lanczos, power = found.reading.cost.hvps, operator.products - before
    off = max(abs(value / true - 1) for value, true in zip(slow, exact, strict=True))
    return (
        f"top 5 eigenvalues of {problem.layout.parameters:,} parameters to 1 %:\n"
        f"  Lanczos {lanczos} products, largest error {abs(found.values[0] / exact - 1).max():.0e}\n"
        f"  power iteration {power} products, largest error {off:.0e}: {power / lanczos:.1f} times as many"
    )


def main() -> None:
    """Print both comparisons."""
    print(f"{RESOLUTION} x {RESOLUTION} points, medians of {REPEATS}:")
    for title, (widths, count) in SIZES.items():
        print(f"  {surfaces(title, widths, count)}")
    print("the same points to 1 % of the range, from few of them, against all:")
    for line in few():
        print(f"  {line}")
    print(eigenvalues())


if __name__ == "__main__":
    main()
