"""NTK7: what a convolution's kernel knows of neighboring pixels, told by what it loses when pixels are shuffled.

Every fold has training and test examples of its own, and an order of pixels of its own, so that folds are independent.
Accuracy is what is compared: pooling has no advantage in squared error.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from thalweg import data, ntk
from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.data import Examples
from thalweg.figures import Axis, Figure, ReferenceLine, interval_bars
from thalweg.ntk import Infinite
from thalweg.randomness import generator
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.ntk import theory
from thalweg.studies.ntk.architectures import architectures, limit
from thalweg.studies.study import decides

Array = NDArray[np.float64]
POINTS, RIDGE, CLASSES, FOLDS = "percentage points of test accuracy", 1e-4, 10, 12
DENSE, POOLED, FLAT = "fully connected", "convolution, pooled", "convolution, flattened"
ORDERED, SHUFFLED, UNLIKE = "in order", "shuffled", "shuffled in the test set alone"
NOT_RUN = Interval.missing("not measured at quick scale")
CLAIM = Claim(
    id="NTK7",
    statement="Kernel regression with tangent kernels, 50 digits or 100 signals of MNIST-1D: two convolutions with "
    "pooling beat a fully connected net where pixels are in order and not where they are shuffled. On digits they lose "
    "there; on MNIST-1D more than 10 points of gain are gone.",
    lecture="Architecture, kernel structure, inductive bias: the kernel of a convolutional network is locally "
    "connected.",
    rule=every_part(),
    unit=POINTS,
    budget={"folds of digits": FOLDS},
    corrected="The bias comes with pooling. Without it the kernel is that of layers that are locally connected, "
    "with weights that are not shared, and does about as well as the fully connected one.",
    parts=(
        Part("digits, in order", "On digits pooling beats the fully connected kernel,", greater(0, worth=1), POINTS),
        Part("digits, shuffled", "and loses to it where pixels are shuffled.", less(0, worth=-1), POINTS),
        Part("MNIST-1D, in order", "On MNIST-1D it gains over 10 points,", greater(0, worth=10), POINTS),
        Part("MNIST-1D, lost", "over 10 of which go where they are shuffled.", greater(0, worth=10), POINTS),
        Part("digits, flattened", "Without pooling little is gained.", within(-5, 5), POINTS, decides=False),
        Part("MNIST-1D, flattened", "Nor on MNIST-1D.", within(-5, 5), POINTS, decides=False),
    ),
)


@dataclass(frozen=True)
class Folds:
    """Examples of one data set, dealt into folds that share none.

    Args:
        name: of the data.
        inputs: (examples, *shape).
        labels: their classes.
        window: of convolutions, in pixels along every axis.
        train, test: every fold's examples, by index: (folds, n), (folds, k).
        orders: every fold's order of pixels: (folds, pixels).
    """

    name: str
    inputs: Float[Tensor, "examples *shape"]
    labels: Int64[Tensor, " examples"]
    window: int
    train: Int64[Tensor, "folds n"]
    test: Int64[Tensor, "folds k"]
    orders: Int64[Tensor, "folds pixels"]

    def accuracies(self, kernel: Infinite) -> Array:
        """With pixels in order, shuffled, and of some folds shuffled in the test set alone: (3, folds), NaN others."""
        controlled, found = -(-len(self.train) // 3), np.full((3, len(self.train)), np.nan)
        for fold, (train, test, order) in enumerate(zip(self.train, self.test, self.orders, strict=True)):
            fitted, held = self.inputs[train][:, None], self.inputs[test][:, None]
            in_order, shuffled = kernel.ntk(fitted), shuffle(fitted, order)
            pairs = [
                (in_order, kernel.ntk(held, fitted)),
                (kernel.ntk(shuffled), kernel.ntk(shuffle(held, order), shuffled)),
            ]
            if fold < controlled:
                pairs.append((in_order, kernel.ntk(shuffle(held, order), fitted)))
            for row, (first, cross) in enumerate(pairs):
                fit = ntk.classify(first, cross, self.labels[train], self.labels[test], ridge=RIDGE, classes=CLASSES)
                found[row, fold] = fit["accuracy"][0]
        return found


def shuffle(inputs: Float[Tensor, "n *shape"], order: Int64[Tensor, " pixels"]) -> Float[Tensor, "n *shape"]:
    """The pixels of every input in another order."""
    return inputs.flatten(1)[:, order].reshape(inputs.shape)


def dealt(
    name: str, inputs: Tensor, labels: Tensor, window: int, seed: int, folds: int, sizes: tuple[int, int]
) -> Folds:
    """Folds of so many training and test examples, and an order of pixels for each, from one seed."""
    rows = torch.randperm(len(inputs), generator=generator(seed, f"ntk folds of {name}"))[: folds * sum(sizes)]
    train, test = rows.reshape(folds, -1).split(list(sizes), 1)
    pixels = inputs[0].numel()
    orders = torch.stack([torch.randperm(pixels, generator=generator(seed, "ntk pixels", one)) for one in range(folds)])
    return Folds(name, inputs, labels, window, train, test, orders)


def digits(seed: int) -> Folds:
    """All that folds of 50 and 99 need, of norm 8, less one mean for all pixels.

    A mean for every pixel would make the same stroke another one elsewhere, which convolutions are not to know.
    """
    read = data.digits()
    parts = [part for part in (read.train, read.test) if isinstance(part, Examples)]
    pixels, labels = torch.cat([part.inputs for part in parts]), torch.cat([part.targets for part in parts])
    centered = pixels.double() - pixels.double().mean()
    inputs = (8 * centered / centered.norm(dim=1, keepdim=True)).float()
    return dealt("digits", inputs.reshape(-1, 8, 8), labels, 3, seed, FOLDS, (50, 99))


def signals(seed: int, folds: int, size: int) -> Folds:
    """Of MNIST-1D, every position centered, at one scale."""
    read = data.mnist1d().train
    assert isinstance(read, Examples)
    inputs, labels = read.inputs, read.targets
    assert isinstance(inputs, Tensor)
    assert isinstance(labels, Tensor)
    inputs = inputs.flatten(1)
    return dealt("MNIST-1D", (inputs - inputs.mean(0)) / inputs.std(), labels, 5, seed, folds, (size, size))


def measured(folds: Folds) -> dict[str, Array]:
    """Accuracies (orders, folds) of every kernel, by its name."""
    nets = architectures(tuple(folds.inputs.shape[1:]), folds.window)
    return {name: folds.accuracies(limit(net())) for name, net in nets.items()}


def gain(found: Mapping[str, Array], name: str) -> Array:
    """Beyond the fully connected kernel, in points: (orders, folds)."""
    return 100 * (found[name] - found[DENSE])


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Fit kernels to pixels in order and to shuffled ones, in every fold."""
    (seed,) = lab.seeds(quick=1, full=1).scored
    tasks = [signals(seed, *lab.pick(quick=(6, 50), full=(10, 100)))]
    tasks += lab.pick(quick=[], full=[digits(seed)])
    return judged(lab, {task.name: measured(task) for task in tasks}, tasks, theory.shown(seed))


def judged(
    lab: Lab, found: Mapping[str, Mapping[str, Array]], tasks: list[Folds], beside: tuple[Figure, list[str]]
) -> Finding:
    """Differences of accuracy, paired by fold."""
    parts = {part.id: NOT_RUN for part in CLAIM.parts}
    for name, of in found.items():
        pooled, flat = gain(of, POOLED), gain(of, FLAT)
        parts[f"{name}, in order"] = interval.mean(pooled[0])
        other = ("lost", pooled[0] - pooled[1]) if name == "MNIST-1D" else ("shuffled", pooled[1])
        parts[f"{name}, {other[0]}"] = interval.mean(other[1])
        parts[f"{name}, flattened"] = interval.mean(flat[0])
    sizes = {task.name: task.train.shape for task in tasks}
    figure = Figure.row(
        [
            Figure.of(
                f"{name}, {sizes[name][1]} examples",
                [
                    *(
                        interval_bars(
                            {each: interval.mean(100 * of[each][row], bounds=(0, 100)) for each in of}, label=pixels
                        )
                        for row, pixels in enumerate((ORDERED, SHUFFLED))
                    ),
                    ReferenceLine(100 / CLASSES, label="chance"),
                ],
                Axis("tangent kernel"),
                Axis("test accuracy", "%"),
            )
            for name, of in found.items()
        ],
        title="What kernels know of neighboring pixels",
        caption="Kernel regression, pixels in order or in another order in every fold. Means over folds that share no "
        f"example, with 95 % intervals; {' and '.join(f'{shape[0]} folds of {name}' for name, shape in sizes.items())}.",
    )
    readings = [
        lab.reading(
            f"accuracy, {name}",
            np.stack(list(of.values())),
            {"kernel": list(of), "pixels": [ORDERED, SHUFFLED, UNLIKE], "fold": list(range(sizes[name][0]))},
        )
        for name, of in found.items()
    ]
    means = {name: {each: np.nanmean(of[each], 1) for each in of} for name, of in found.items()}
    return lab.finding(
        parts=parts,
        ran={"folds of digits": sizes["digits"][0] if "digits" in sizes else 0},
        figures=[figure, beside[0]],
        readings=readings,
        sentences=[
            *(
                f"{name}, {each}: right on {in_order:.1%} of pixels in order, {shuffled:.1%} of shuffled ones, and "
                f"{unlike:.1%} where they are shuffled in the test set alone."
                for name, of in means.items()
                for each, (in_order, shuffled, unlike) in of.items()
            ),
            *([] if "digits" in found else ["Digits are measured at full scale alone, and decide the claim."]),
            *beside[1],
        ],
        numbers={
            "accuracy in order, shuffled, shuffled in the test set alone": {
                name: {each: values.tolist() for each, values in of.items()} for name, of in means.items()
            },
        },
    )
