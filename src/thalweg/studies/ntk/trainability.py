"""Random architectures: what their analytic kernels say of them, and how they train."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg import ntk
from thalweg.statistics import Interval, kendall
from thalweg.studies.ntk.random_nets import ACTIVATIONS, Architecture, Stack, train
from thalweg.studies.ntk.setting import dealt

Array = NDArray[np.float64]
EXAMPLES, TESTED, CAP, LEVEL = 32, 300, 1_000, 0.01
RATES = (3e-3, 1e-2, 3e-2)
KAPPA, STEPS, ADAM, ACCURACY = "condition number", "steps", "steps of Adam", "test accuracy"


@dataclass(frozen=True)
class Scored:
    """What analytic kernels say of architectures, and how they train: (architectures,) each, over seeds.

    Args:
        scores: geometric means, by name.
        outcomes: steps of gradient descent and of Adam at its best rate, and test accuracy: means.
        capped: the share of runs of gradient descent that did not arrive.
    """

    scores: Mapping[str, Array]
    outcomes: Mapping[str, Array]
    capped: float


def scores_of(
    one: Architecture, inputs: Float[Tensor, "sets n d"], targets: Float[Tensor, "sets n"]
) -> dict[str, float]:
    """Of the analytic kernels on several sets of examples, the geometric mean of every score."""
    found = ntk.over_depth(
        inputs, activation=one.activation, weight_std=one.weight_std, bias_std=one.bias_std, depths=[one.depth]
    )
    number = ntk.scores.condition_number(found.ntk[0])
    predicted = ntk.predicted_steps(found.ntk[0], targets[..., None], level=LEVEL, lr=1 / number.largest, cap=100 * CAP)
    each = {
        KAPPA: 10**number.log10,
        "predicted steps": np.minimum(predicted["steps"], 100 * CAP),
        "condition number, NNGP": 10 ** ntk.scores.condition_number(found.nngp[0]).log10,
        "smallest eigenvalue": number.smallest,
        "mean eigenvalue": found.ntk[0].diagonal(dim1=1, dim2=2).mean(1).numpy(),
        "alignment with the targets": [
            float(ntk.scores.alignment(kernel, own)) for kernel, own in zip(found.ntk[0], targets, strict=True)
        ],
    }
    return {name: float(np.exp(np.log(values).mean())) for name, values in each.items()} | {"depth": one.depth}


def scored(architectures: list[Architecture], seeds: list[int], digits: tuple[Tensor, Tensor], width: int) -> Scored:
    """Train every architecture on seeds of its own, all nets of one activation at once, and score its kernels."""
    pixels, signs = digits
    rows, held = dealt(len(pixels), seeds, EXAMPLES, TESTED)
    each = len(seeds) // len(architectures)
    steps, adam, accuracy = np.empty(len(seeds)), np.empty((len(RATES), len(seeds))), np.empty(len(seeds))
    of = np.repeat(np.arange(len(architectures)), each)  # whose net a seed is
    for kind in ACTIVATIONS:
        own = np.array([place for place, one in enumerate(of) if architectures[one].activation == kind], dtype=int)
        if not len(own):
            continue
        own = own[np.argsort([-architectures[of[place]].depth for place in own], kind="stable")]
        learned, tested = ((pixels[table[own]], signs[table[own]]) for table in (rows, held))
        stack = Stack.of(
            [architectures[of[place]] for place in own], [seeds[place] for place in own], pixels.shape[-1], width
        )
        largest = torch.linalg.eigvalsh(stack.kernels(learned[0]).double())[:, -1].float()
        run = train(stack, learned, tested, 1 / largest, rule="descent", cap=CAP, level=LEVEL)
        steps[own], accuracy[own] = run.steps, run.accuracy
        for place, rate in enumerate(RATES):
            rates = torch.full((len(own),), rate)
            other = train(stack, learned, tested, rates, rule="Adam", cap=CAP, level=LEVEL)
            adam[place, own] = other.steps
    sets = rows.reshape(len(architectures), each, -1)
    tables = [scores_of(one, pixels[table], signs[table]) for one, table in zip(architectures, sets, strict=True)]
    by_architecture = lambda values: values.reshape(*values.shape[:-1], -1, each).mean(-1)  # noqa: E731
    return Scored(
        {name: np.array([one[name] for one in tables]) for name in tables[0]},
        {STEPS: by_architecture(steps), ADAM: by_architecture(adam).min(0), ACCURACY: by_architecture(accuracy)},
        float((steps == CAP).mean()),
    )


def tau(first: Array, second: Array, *, resamples: int = 4_999) -> Interval:
    """Kendall's tau-b with the 95 % interval of the bootstrap over architectures: (architectures,) each.

    Pairs of one architecture with itself, which a resample holds, are ties in both and count in nothing.
    """
    signs = [np.sign(values[:, None] - values) for values in (first, second)]
    drawn_counts = np.random.default_rng(0).multinomial(len(first), np.full(len(first), 1 / len(first)), resamples)
    both, one, other = (
        ((drawn_counts @ table) * drawn_counts).sum(1) for table in (signs[0] * signs[1], signs[0] ** 2, signs[1] ** 2)
    )
    with np.errstate(invalid="ignore"):
        low, high = np.nanpercentile(both / np.sqrt(one * other), [2.5, 97.5])
    method = f"Kendall's tau-b, bootstrap over architectures, {resamples} resamples"
    return Interval(float(kendall(first, second)), float(low), float(high), len(first), method)
