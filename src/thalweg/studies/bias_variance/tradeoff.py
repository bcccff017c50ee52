"""BV2: below the interpolation threshold bias falls and variance rises; beyond it variance falls again."""

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.figures import Axis, Figure, interval_line
from thalweg.generalization.bias_variance import decompose_predictions
from thalweg.generalization.double_descent import FourierFeatures, least_squares
from thalweg.statistics import Interval, interval
from thalweg.studies.bias_variance import widths
from thalweg.studies.bias_variance.digits import SCALE, Dealt, dealt
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides

Array = NDArray[np.float64]
UNIT = "difference of squared error"
CLAIM = Claim(
    id="BV2",
    statement="Random Fourier features on digits, below as many features as examples: bias^2 falls and variance rises "
    "with the number of features, and the error is smallest in between.",
    lecture="Minimizing one of bias and variance may lead to growth of the other: test error is U-shaped.",
    rule=every_part(),
    unit=UNIT,
    budget={"repetitions": 4},
    corrected="So it is below the interpolation threshold and without a tuned ridge. Across it variance is unimodal: "
    "in the width of MLPs on MNIST-1D it rises to the threshold and falls beyond; bias^2 falls on.",
    parts=(
        Part("bias, early", "bias^2 falls from N/n = .05 to .3.", less(0), UNIT),
        Part("bias, late", "bias^2 falls from N/n = .3 to .7.", less(0), UNIT),
        Part("variance, early", "Variance rises from N/n = .05 to .3.", greater(0), UNIT),
        Part("variance, late", "Variance rises from N/n = .3 to .7.", greater(0), UNIT),
        Part("left of the minimum", "The error falls from N/n = .05 to the interior.", less(0), UNIT),
        Part("right of the minimum", "The error rises from the interior to N/n = .9.", greater(0), UNIT),
    ),
)
SIZE, SETS, VALIDATION = 150, 8, 200
SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# Features, N. With the largest number drawn once, fewer are the first of them.
NUMBERS = tuple(round(share * SIZE) for share in SHARES)
# N/n of the smallest error by level of noise, as it was on seeds 501000 to 501005, on which nothing is scored.
INTERIOR = {0.0: 0.3, 0.2: 0.2}
KINDS = ("fixed", "fresh")  # features: the same for all training sets, or drawn anew for each
PENALTIES = 10.0 ** np.arange(-3, 2)
PARTS = ("bias^2", "variance", "error")


def curves(found: Dealt, levels: int, seed: int) -> tuple[Array, Array]:
    """Bias^2, variance and error (parts, kinds, levels of noise, sizes), and that of tuned ridge (levels, sizes).

    The penalty of ridge is the best of five on 200 digits that nothing else is measured on, for all sets at once.
    """
    shape, held = (len(KINDS), levels, len(NUMBERS), SETS), len(found.test_labels)
    fits = np.empty((*shape, held, 10))
    ridge = np.empty((levels, len(NUMBERS), SETS, len(PENALTIES), held, 10))
    labels = np.eye(10)[found.labels.transpose(1, 2, 0)]  # (sets, size, levels, 10): levels share a decomposition
    with threadpool_limits(1, user_api="blas"):  # of matrices so small one thread waits for another
        for kind, part in np.ndindex(len(KINDS), SETS):
            features = FourierFeatures(64, NUMBERS[-1], SCALE, seed * (SETS + 1) + (1 + part if kind else 0))
            mine, others = features(found.inputs[part]), features(found.test_inputs)
            for size, number in enumerate(NUMBERS):
                scale = np.sqrt(NUMBERS[-1] / number)
                fit = least_squares(scale * mine[:, :number], labels[part])
                fits[kind, :, size, part] = np.moveaxis(fit.predict(scale * others[:, :number]), 1, 0)
                if not kind:
                    shrunk = fit.ridge_predict(scale * others[:, :number], PENALTIES)
                    ridge[:, size, part] = shrunk.transpose(2, 0, 1, 3)
    targets, tested = found.targets, slice(VALIDATION, None)
    parts = np.empty((len(PARTS), *shape[:3]))
    for place in np.ndindex(shape[:3]):
        divided = decompose_predictions(fits[place][:, tested], targets[tested])
        parts[(slice(None), *place)] = [divided[name] for name in PARTS]
    errors = ((ridge - targets) ** 2).sum(-1).mean(2)  # (levels, sizes, penalties, held out)
    best = errors[..., :VALIDATION].mean(-1).argmin(-1)
    return parts, np.take_along_axis(errors[..., tested].mean(-1), best[..., None], -1)[..., 0]


def weakest(intervals: list[Interval], *, rises: bool) -> Interval:
    """That of the kinds of features and levels of noise which is nearest to the other sign, or beyond."""
    return min(intervals, key=lambda one: one.low if rises else -one.high)


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Decompose the error of random features over their number; at full scale that of MLPs over the width as well."""
    seeds = lab.seeds(quick=4, full=8).scored
    noise = lab.pick(quick=(0.2,), full=(0.0, 0.2))
    found = [curves(dealt(SETS, SIZE, noise, seed), len(noise), seed) for seed in seeds]
    parts, ridge = np.stack([one[0] for one in found], -1), np.stack([one[1] for one in found], -1)
    middle = [INTERIOR[level] for level in noise]

    def change(part: str, first: float | list[float], last: float | list[float]) -> list[Interval]:
        table, levels = parts[PARTS.index(part)], range(len(noise))
        ends = [[SHARES.index(one) for one in np.broadcast_to(end, len(noise))] for end in (first, last)]
        apart = table[:, levels, ends[1]] - table[:, levels, ends[0]]  # (kinds, levels, seeds)
        return [interval.mean(apart[place]) for place in np.ndindex(apart.shape[:2])]

    scored = {
        "bias, early": weakest(change("bias^2", 0.05, 0.3), rises=False),
        "bias, late": weakest(change("bias^2", 0.3, 0.7), rises=False),
        "variance, early": weakest(change("variance", 0.05, 0.3), rises=True),
        "variance, late": weakest(change("variance", 0.3, 0.7), rises=True),
        "left of the minimum": weakest(change("error", 0.05, middle), rises=False),
        "right of the minimum": weakest(change("error", middle, 0.9), rises=True),
    }
    fresh = dict(zip(PARTS, parts[:, 1, -1], strict=True))  # at the largest noise: (sizes, seeds)
    lines = {**fresh, "error of tuned ridge": ridge[-1]}
    marks = [interval_line(SHARES, [interval.mean(of) for of in table], label=name) for name, table in lines.items()]
    figure = Figure.of(
        "Bias and variance over the number of features",
        marks,
        Axis("features / examples"),
        Axis("squared error", scale="log"),
        caption=f"{SETS} disjoint sets of {SIZE} digits, {noise[-1]:.0%} of the labels wrong, fresh random features "
        f"for each set; ridge on fixed ones. Means with 95 % intervals over {len(seeds)} reshuffles of one pool.",
    )
    means = {name: table.mean(1) for name, table in fresh.items()}
    best, tuned = int(means["error"].argmin()), ridge[-1].mean(1)
    sentences = [
        f"From {SHARES[0]:g} to {SHARES[-1]:g} features an example bias^2 goes from {means['bias^2'][0]:.3f} to "
        f"{means['bias^2'][-1]:.3f} and variance from {means['variance'][0]:.3f} to {means['variance'][-1]:.3f}; the "
        f"error is smallest at {SHARES[best]:g}, {means['error'][best]:.3f}, and {means['error'][-1]:.3f} at the end.",
        f"With a tuned ridge the error at {SHARES[-1]:g} is {tuned[-1]:.3f}, its smallest {tuned.min():.3f}.",
    ]
    coordinates = {"part": PARTS, "features": KINDS, "noise": noise, "N/n": SHARES, "seed": seeds}
    readings = [
        lab.reading("bias^2, variance and error of random features", parts, coordinates),
        lab.reading("error of tuned ridge", ridge, {"noise": noise, "N/n": SHARES, "seed": seeds}),
    ]
    figures = [figure]
    if lab.scale == "full":  # shown, not scored: one repetition of the decomposition has no interval over repetitions
        shown = widths.over_width(lab)
        figures.append(shown.figure)
        readings.append(shown.reading)
        sentences.append(shown.sentence)
    return lab.finding(
        parts=scored,
        ran={"repetitions": len(seeds)},
        figures=figures,
        readings=readings,
        sentences=sentences,
        numbers={name: dict(zip(map(str, SHARES), of.tolist(), strict=True)) for name, of in means.items()},
    )
