"""Random architectures: what their analytic kernels say of them, and how they train."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg import ntk
from thalweg.optim import SGD, Adam
from thalweg.statistics import Interval, kendall
from thalweg.statistics.bootstrap import counts
from thalweg.studies.ntk.random_nets import ACTIVATIONS, Architecture, Stack, train
from thalweg.studies.ntk.setting import dealt

Array = NDArray[np.float64]
Kernels = tuple[Float[Tensor, "sets n n"], Float[Tensor, "sets n n"]]  # NNGP and NTK
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


def kernels_of(architectures: list[Architecture], inputs: Float[Tensor, "architectures sets n d"]) -> list[Kernels]:
    """The analytic kernels of each architecture on its own sets of examples, of all of one activation at once."""
    found: dict[int, Kernels] = {}
    for kind in ACTIVATIONS:
        places = [place for place, one in enumerate(architectures) if one.activation == kind]
        if not places:
            continue
        some = [architectures[place] for place in places]
        stds = torch.tensor([(one.weight_std, one.bias_std) for one in some], dtype=torch.float64)
        depths = sorted({one.depth for one in some})
        weight_std, bias_std = stds[:, None].unbind(2)
        deep = ntk.over_depth(inputs[places], activation=kind, weight_std=weight_std, bias_std=bias_std, depths=depths)
        for row, (place, one) in enumerate(zip(places, some, strict=True)):
            at = depths.index(one.depth)
            found[place] = deep.nngp[at, row], deep.ntk[at, row]
    return [found[place] for place in range(len(architectures))]


def scores_of(kernels: Kernels, targets: Float[Tensor, "sets n"]) -> dict[str, float]:
    """Of the analytic kernels on several sets of examples, the geometric mean of every score."""
    nngp, tangent = kernels
    number = ntk.scores.condition_number(tangent)
    predicted = ntk.predicted_steps(tangent, targets[..., None], level=LEVEL, lr=1 / number.largest, cap=100 * CAP)
    each = {
        KAPPA: 10**number.log10,
        "predicted steps": np.minimum(predicted["steps"], 100 * CAP),
        "condition number, NNGP": 10 ** ntk.scores.condition_number(nngp).log10,
        "smallest eigenvalue": number.smallest,
        "mean eigenvalue": tangent.diagonal(dim1=1, dim2=2).mean(1).numpy(),
        "alignment with the targets": [
            float(ntk.scores.alignment(kernel, own)) for kernel, own in zip(tangent, targets, strict=True)
        ],
    }
    return {name: float(np.exp(np.log(values).mean())) for name, values in each.items()}


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
        largest = torch.linalg.eigvalsh(stack.kernels(learned[0]).double())[:, -1]
        run = train(stack, learned, tested, 1 / largest, rule=SGD(lr=1.0), cap=CAP, level=LEVEL)
        steps[own], accuracy[own] = run.steps, run.accuracy
        many, rates = len(RATES), torch.tensor(RATES).repeat(len(own))  # all of a net one after the other
        learned, tested = (
            (inputs.repeat_interleave(many, 0), targets.repeat_interleave(many, 0))
            for inputs, targets in (learned, tested)
        )
        other = train(stack.repeated(many), learned, tested, rates, rule=Adam(), cap=CAP, level=LEVEL)
        adam[:, own] = other.steps.reshape(-1, many).T
    sets = rows.reshape(len(architectures), each, -1)
    tables = [
        scores_of(kernels, targets) | {"depth": one.depth}
        for one, kernels, targets in zip(
            architectures, kernels_of(architectures, pixels[sets]), signs[sets], strict=True
        )
    ]
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
    weights = counts(len(first), resamples, 0)
    both, one, other = (
        ((weights @ table) * weights).sum(1) for table in (signs[0] * signs[1], signs[0] ** 2, signs[1] ** 2)
    )
    with np.errstate(invalid="ignore"):
        low, high = np.nanpercentile(both / np.sqrt(one * other), [2.5, 97.5])
    method = f"Kendall's tau-b, bootstrap over architectures, {resamples} resamples"
    return Interval(float(kendall(first, second)), float(low), float(high), len(first), method)
