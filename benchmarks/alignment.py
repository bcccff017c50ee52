"""Permutation alignment: pairs of wide perceptrons matched by weights, and by a loop as one would write it.

    python benchmarks/alignment.py

prints for one pair of 784-512-512-512-10 and for 8, and for 8 pairs of 64-64-64-10: seconds of `align` by weights, of
its matching alone (the rest verifies that the functions stay and takes distances), and of a plain loop over pairs of
one coordinate descent from the networks as they are, which builds every permuted tensor anew for each layer, as
published code does (Ainsworth et al., 2022). In how many pairs `align` ends more similar than the loop is printed, too.
Networks are trained for a few steps, so that they differ as trained ones do.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

import thalweg as tw
from thalweg.connectivity.alignment.matching import matched
from thalweg.connectivity.alignment.nests import nests_of
from thalweg.connectivity.alignment.weights import compared
from thalweg.randomness import generator

REPEATS = 3


def noisy(inputs: int) -> tw.data.Data:
    """Gaussian clusters to train on for a moment."""
    draw = generator(0, "benchmark")
    centers, classes = torch.randn(10, inputs, generator=draw), torch.randint(10, (600,), generator=draw)
    return tw.data.from_user((centers[classes] + torch.randn(600, inputs, generator=draw), classes))


def pairs(hidden: tuple[int, ...], inputs: int, count: int) -> tuple[tw.Problem, tw.Population, tw.Population]:
    """As many pairs of networks."""
    problem = tw.Problem(lambda: tw.nets.mlp(inputs, *hidden, 10), noisy(inputs))
    recipe = tw.Recipe(tw.optim.Momentum(0.05), steps=20, batch_size=100, evaluate=1)
    final = tw.train(problem, recipe, 2 * count, progress=None).final
    return problem, final[:count], final[count:]


def plain(one: dict[str, Tensor], other: dict[str, Tensor], layers: list[str], seed: int = 0) -> float:
    """Coordinate descent over the hidden layers of one pair; the product of the two networks at its end."""
    orders = {layer: torch.arange(len(one[f"{layer}.bias"])) for layer in layers[:-1]}

    def permuted(name: str, but: str) -> Tensor:
        layer, _, leaf = name.rpartition(".")
        tensor, number = other[name], layers.index(layer)
        if layer in orders and layer != but:
            tensor = tensor[orders[layer]]
        if leaf == "weight" and number and layers[number - 1] != but:
            tensor = tensor[:, orders[layers[number - 1]]]
        return tensor

    progress, sweep = True, 0
    while progress:
        progress, sweep = False, sweep + 1
        for place in torch.randperm(len(layers) - 1, generator=generator(seed, "loop", sweep)).tolist():
            layer, behind = layers[place], layers[place + 1]
            names = (f"{layer}.weight", f"{layer}.bias", f"{behind}.weight")
            first, second, third = (permuted(name, layer) for name in names)
            similar = one[names[0]] @ first.T + torch.outer(one[names[1]], second) + one[names[2]].T @ third
            table = similar.double().numpy()
            _, chosen = linear_sum_assignment(table, maximize=True)
            rows = torch.arange(len(chosen)).numpy()
            if table[rows, chosen].sum() > table[rows, orders[layer].numpy()].sum() + 1e-6:
                orders[layer], progress = torch.from_numpy(chosen), True
    return sum(float((one[name] * permuted(name, "")).sum()) for name in one)


def best(function: Callable[[], Any]) -> tuple[float, Any]:
    """The fewest seconds, and what was returned."""
    seconds, found = [], None
    for _ in range(REPEATS):
        began = time.perf_counter()
        found = function()
        seconds.append(time.perf_counter() - began)
    return min(seconds), found


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    for hidden, inputs, count in (((512, 512, 512), 784, 1), ((512, 512, 512), 784, 8), ((64, 64), 64, 8)):
        problem, first, second = pairs(hidden, inputs, count)
        layers = [entry.module for entry in problem.layout if entry.name.endswith("weight")]
        nests = nests_of(problem.structure.groups)  # the trace is taken once a problem
        whole, found = best(lambda: tw.connectivity.align(problem, first, second, progress=None))  # noqa: B023
        matching, _ = best(lambda: matched(nests, compared(first), compared(second), seed=0))  # noqa: B023
        views = [
            [{name: one[member] for name, one in problem.layout.views(each.theta).items()} for member in range(count)]
            for each in (first, second)
        ]
        loop, products = best(lambda: [plain(*pair, layers) for pair in zip(*views, strict=True)])  # noqa: B023
        mine = (found.population.theta * first.theta).sum(1).tolist()
        wins = sum(a > b for a, b in zip(mine, products, strict=True))
        print(
            f"{count} of {'-'.join(map(str, (inputs, *hidden, 10)))}: align {whole:.2f} s, matching {matching:.2f} s, "
            f"a plain loop {loop:.2f} s ({loop / matching:.1f}x); more similar than by the loop in {wins} of {count}, "
            f"{found['sweeps'].mean():.0f} sweeps"
        )


if __name__ == "__main__":
    main()
