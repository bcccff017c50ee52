"""NTK8: nets that move their features beat their kernel where the target has features, and equal it elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg import ntk
from thalweg.claims import Claim, Finding, Part, every_part, greater, within
from thalweg.figures import Axis, Figure, ReferenceLine, interval_line
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.centered import POWERS, Task, classes, infinite, trained, two_parity
from thalweg.studies.ntk.setting import share_of
from thalweg.studies.study import decides

Array = NDArray[np.float64]
POINTS = "percentage points of test accuracy"
STEPS, EXAMPLES, TESTED, BITS = 300, 100, 500, 20
CLAIM = Claim(
    id="NTK8",
    statement="One hidden ReLU layer, minus its start, 100 examples, 300 steps: in muP it beats its infinite-width "
    "kernel on 2-parity, by more than 5 points at width 1,024 and at every width tried, and is equal to it within 2 "
    "points on digits; in NTK parameterization width 1,024 is equal to it within 3 points on both.",
    lecture="Real networks learn features: they leave the kernel, and generalize better.",
    rule=every_part(),
    unit=POINTS,
    corrected="They may, where the target has features to learn and the parameterization lets them move: on parity of "
    "two of twenty bits, not on digits, where they do as well as their kernel.",
    parts=(
        Part("parity", "On 2-parity muP at width 1,024 beats its kernel.", greater(0, worth=5), POINTS),
        Part("parity, every width", "At the least clear width it does, too.", greater(0), POINTS),
        Part("best kernel", "It beats the best of many kernels, chosen on the test set.", greater(0), POINTS),
        Part("digits", "On digits muP at width 1,024 is as good as its kernel.", within(-2, 2), POINTS),
        Part("limit, parity", "In NTK parameterization width 1,024 is its kernel, on 2-parity,", within(-3, 3), POINTS),
        Part("limit, digits", "and on digits.", within(-3, 3), POINTS),
        Part("coin", "Where a coin was tossed for the labels, muP is at chance.", within(45, 55), "% right"),
    ),
)
RIDGES = (1e-6, 1e-4, 1e-2, 1.0)
STDS = {"relu": 2**0.5, "erf": 1.5, "gelu": 2**0.5}


@dataclass(frozen=True)
class Accuracies:
    """What is right on held-out examples of one task.

    Args:
        widths: of the nets.
        kernel: of the analytic kernel after as many steps: (seeds,).
        nets: of every parameterization: (widths, seeds).
    """

    widths: tuple[int, ...]
    kernel: Array
    nets: Mapping[str, Array]

    def beyond(self, parameterization: str) -> Array:
        """Net minus kernel in points: (widths, seeds)."""
        return 100 * (self.nets[parameterization] - self.kernel)


def measured(lab: Lab, task: Task, widths: tuple[int, ...]) -> Accuracies:
    """Train nets of both parameterizations, and the kernel as long, at one rate."""
    kernel, rate = infinite(task, STEPS)
    nets = {
        name: np.array([trained(lab, task, hidden, name, rate, STEPS).accuracy for hidden in widths]) for name in POWERS
    }
    return Accuracies(widths, kernel, nets)


def tables() -> Float[Tensor, "kernels distances"]:
    """Many kernels of fully connected nets by how many of 20 signs two inputs differ in, on which alone they depend."""
    flipped = 1 - 2.0 * torch.ones(BITS + 1, BITS).tril(-1)  # row k differs from the first in k signs
    found = []
    for activation, weight_std in STDS.items():
        biases = torch.tensor([0.0, 0.1, 1.0])
        rows = ntk.over_depth(
            flipped[:1], flipped, activation=activation, weight_std=weight_std, bias_std=biases, depths=[1, 2, 3]
        )
        found += [rows.nngp.reshape(-1, BITS + 1), rows.ntk.reshape(-1, BITS + 1)]
    return torch.cat(found)


def best_kernels(task: Task) -> Array:
    """The accuracy of whichever kernel and ridge is best on the test examples themselves, of signs: (seeds,)."""
    kernels, best = tables(), []
    for train, test in zip(task.train, task.test, strict=True):
        x, y = task.inputs[train], task.inputs[test]
        first, cross = (kernels[:, ((BITS - one @ x.T) / 2).round().long()] for one in (x, y))
        labels = task.targets[test, 0].numpy()
        ridges = [share_of(first, ridge) for ridge in RIDGES]
        fits = [ntk.regression(first, cross, task.targets[train], ridge=ridge)["test"] for ridge in ridges]
        best.append(max(ntk.accuracy(fit, labels).max() for fit in fits))
    return np.array(best)


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Train nets that move features and nets that do not beside their kernel, on parity and on digits."""
    seeds, few = lab.seeds(quick=6, full=20).scored, lab.pick(quick=6, full=10)
    widths = lab.pick(quick=(64, 1_024), full=(64, 256, 1_024))
    parity = two_parity(seeds, EXAMPLES, TESTED, bits=BITS)
    found = {
        "2-parity": measured(lab, parity, widths),
        "digits": measured(lab, classes(seeds[:few], EXAMPLES, TESTED), widths),
    }
    if lab.scale == "full":
        found["MNIST-1D"] = measured(lab, classes(seeds[:few], EXAMPLES, TESTED, "MNIST-1D"), widths[-1:])
    tossed = two_parity(seeds, EXAMPLES, TESTED, bits=BITS, coin=True)
    coin = trained(lab, tossed, widths[0], "muP", infinite(tossed, STEPS)[1], STEPS).accuracy
    return judged(lab, found, best_kernels(parity), coin, seeds)


def judged(lab: Lab, found: Mapping[str, Accuracies], best: Array, coin: Array, seeds: list[int]) -> Finding:
    """Net minus kernel, paired by seed."""
    mean = interval.mean
    parity, digits = found["2-parity"], found["digits"]
    by_width = [mean(row) for row in parity.beyond("muP")]
    parts = {
        "parity": by_width[-1],
        "parity, every width": min(by_width, key=lambda one: one.low),
        "best kernel": mean(100 * (parity.nets["muP"][-1] - best)),
        "digits": mean(digits.beyond("muP")[-1]),
        "limit, parity": mean(parity.beyond("NTK")[-1]),
        "limit, digits": mean(digits.beyond("NTK")[-1]),
        "coin": mean(100 * coin, bounds=(0, 100)),
    }
    panels = [
        Figure.of(
            name,
            [
                *(interval_line(of.widths, [mean(row) for row in of.beyond(each)], label=each) for each in POWERS),
                ReferenceLine(0.0, label="infinite width"),
            ],
            Axis("width", scale="log"),
            Axis("accuracy of net - kernel", "points"),
        )
        for name, of in found.items()
        if len(of.widths) > 1
    ]
    figure = Figure.row(
        panels,
        title="Where features are learned, and where not",
        caption=f"One hidden ReLU layer, minus its start, {EXAMPLES} examples, {STEPS} steps of gradient descent at "
        f"one rate. 2-parity: x1 x2 of {BITS} signs. Means over {len(parity.kernel)} and {len(digits.kernel)} seeds "
        "with 95 % intervals.",
    )
    readings = [
        lab.reading(
            f"accuracy of net - kernel, {name}",
            np.array([of.beyond(each) for each in POWERS]),
            {"parameterization": list(POWERS), "width": of.widths, "seed": seeds[: len(of.kernel)]},
            unit="points",
        )
        for name, of in found.items()
    ]
    return lab.finding(
        parts=parts,
        figures=figure,
        readings=readings,
        sentences=[
            *(
                f"{name}: the kernel is right on {of.kernel.mean():.1%}, nets of width {of.widths[-1]:,} on "
                f"{of.nets['muP'][-1].mean():.1%} in muP and {of.nets['NTK'][-1].mean():.1%} in NTK parameterization."
                for name, of in found.items()
            ),
            f"The best of {len(tables()) * len(RIDGES)} kernels and ridges, chosen on the test examples, is right on "
            f"{best.mean():.1%} of 2-parity.",
        ],
        numbers={
            "net - kernel at the largest width, points": {
                name: {each: str(mean(of.beyond(each)[-1])) for each in POWERS} for name, of in found.items()
            }
        },
    )
