"""NTK7: what a convolution's kernel knows of neighboring pixels, told by what it loses when pixels are shuffled.

Accuracy is what is compared: pooling has no advantage in squared error.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.figures import Axis, Figure, ReferenceLine, interval_bars
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.ntk import theory
from thalweg.studies.ntk.folds import CLASSES, FOLDS, ORDERED, ORDERS, SHUFFLED, Folds, digits, signals
from thalweg.studies.ntk.image_kernels import architectures, limit
from thalweg.studies.study import decides

Array = NDArray[np.float64]
COUNTED = "folds"  # by intervals
POINTS = "percentage points of test accuracy"
DENSE, POOLED, FLAT = "fully connected", "convolution, pooled", "convolution, flattened"
NOT_RUN = Interval.missing("not measured at quick scale")
CLAIM = Claim(
    id="NTK7",
    statement="Kernel regression with tangent kernels, 50 digits (less one mean of all pixels) or 100 signals "
    "of MNIST-1D: two convolutions with pooling beat a fully connected net where pixels are in order and not where "
    "they are shuffled. On digits they lose there; on MNIST-1D more than 10 points of gain are gone.",
    lecture="Architecture, kernel structure, inductive bias: the kernel of a convolutional network is locally "
    "connected.",
    rule=every_part(),
    unit=POINTS,
    budget={"folds of digits": FOLDS},
    corrected="The bias comes with pooling. Without it the kernel is that of layers that are locally connected, "
    "with weights that are not shared, and does about as well as the fully connected one.",
    parts=(
        Part(
            "digits, in order",
            "On digits pooling beats the fully connected kernel,",
            greater(0, worth=1),
            POINTS,
            repeats=COUNTED,
        ),
        Part(
            "digits, shuffled", "and loses to it where pixels are shuffled.", less(0, worth=-1), POINTS, repeats=COUNTED
        ),
        Part(
            "MNIST-1D, in order", "On MNIST-1D it gains over 10 points,", greater(0, worth=10), POINTS, repeats=COUNTED
        ),
        Part(
            "MNIST-1D, lost",
            "over 10 of which go where they are shuffled.",
            greater(0, worth=10),
            POINTS,
            repeats=COUNTED,
        ),
        Part(
            "digits, pixels centered",
            "Pooling beats it on digits in order, too, where every pixel is centered by itself.",
            greater(0, worth=1),
            POINTS,
            decides=False,
        ),
        Part("digits, flattened", "Without pooling little is gained.", within(-5, 5), POINTS, decides=False),
        Part("MNIST-1D, flattened", "Nor on MNIST-1D.", within(-5, 5), POINTS, decides=False),
    ),
)


def measured(folds: Folds) -> dict[str, Array]:
    """Accuracies (orders, folds) of every kernel, by its name."""
    nets = architectures(tuple(folds.inputs.shape[1:]), folds.window)
    kernels = {name: limit(net()) for name, net in nets.items()}
    return {name: np.stack([folds.accuracies(one, pixels) for pixels in ORDERS]) for name, one in kernels.items()}


def gain(found: Mapping[str, Array], name: str = POOLED) -> Array:
    """Beyond the fully connected kernel, in points: (orders, folds)."""
    return 100 * (found[name] - found[DENSE])


def gain_apart(seed: int) -> Array:
    """That of pooling on digits in order, every pixel of which is centered by itself: (folds,)."""
    folds, nets = digits(seed, apart=True), architectures((8, 8), 3)
    pooled, dense = (folds.accuracies(limit(nets[name]()), ORDERED) for name in (POOLED, DENSE))
    return 100 * (pooled - dense)


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Fit kernels to pixels in order and to shuffled ones, in every fold."""
    (seed,) = lab.seeds(quick=1, full=1).scored
    tasks = [signals(seed, *lab.pick(quick=(6, 50), full=(10, 100)))]
    tasks += [digits(seed)] if lab.scale == "full" else []
    found = {task.name: measured(task) for task in tasks}
    return judged(lab, found, gain_apart(seed) if lab.scale == "full" else None, theory.shown(seed))


def judged(
    lab: Lab,
    found: Mapping[str, Mapping[str, Array]],
    apart: Array | None,
    beside: tuple[Figure, list[str]],
) -> Finding:
    """Differences of accuracy, paired by fold."""
    parts = {part.id: NOT_RUN for part in CLAIM.parts}
    for name, of in found.items():
        in_order, shuffled, _ = gain(of)
        parts[f"{name}, in order"] = interval.mean(in_order)
        other = ("lost", in_order - shuffled) if name == "MNIST-1D" else ("shuffled", shuffled)
        parts[f"{name}, {other[0]}"] = interval.mean(other[1])
        parts[f"{name}, flattened"] = interval.mean(gain(of, FLAT)[0])
    if apart is not None:
        parts["digits, pixels centered"] = interval.mean(apart)
    folds = {name: of[DENSE].shape[1] for name, of in found.items()}
    figure = Figure.row(
        [
            Figure.of(
                name,
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
        f"example, {' and '.join(f'{count} of {name}' for name, count in folds.items())}, with 95 % intervals.",
    )
    readings = [
        lab.reading(
            f"accuracy, {name}",
            np.stack(list(of.values())),
            {"kernel": list(of), "pixels": list(ORDERS), "fold": list(range(folds[name]))},
        )
        for name, of in found.items()
    ]
    means = {name: {each: np.nanmean(of[each], 1) for each in of} for name, of in found.items()}
    return lab.finding(
        parts=parts,
        ran={"folds of digits": folds.get("digits", 0)},
        figures=[figure, beside[0]],
        readings=readings,
        sentences=[
            *(
                f"{name}, {each}: {in_order:.1%} right with pixels in order, {shuffled:.1%} with shuffled ones, "
                f"{unlike:.1%} where they are shuffled in the test set alone."
                for name, of in means.items()
                for each, (in_order, shuffled, unlike) in of.items()
            ),
            *(
                []
                if apart is None
                else [
                    f"Where every pixel of a digit is centered by itself, pooling gains {interval.mean(apart)} points."
                ]
            ),
            *(
                []
                if "digits" in found
                else ["Digits are measured at full scale alone; without them the claim is undecided."]
            ),
            *beside[1],
        ],
        numbers={
            "accuracy in order, shuffled, shuffled in the test set alone": {
                name: {each: values.tolist() for each, values in of.items()} for name, of in means.items()
            },
        },
    )
