"""BV4: what an ensemble of new members gains is predicted by the components of the noise of others."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import special  # and not scipy.stats, which takes longer to load than all else here

from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.figures import Axis, Figure, interval_bars
from thalweg.generalization.bias_variance import Ensembles
from thalweg.statistics import LEVEL, POSITIVE, Interval, interval
from thalweg.studies.lab import Lab

Array = NDArray[np.float64]
WORTH, MISS, GAIN = 0.05, "root mean square of log (predicted / measured gain)", "log (error of one / of the ensemble)"
SIZES = ((1, 4), (8, 1), (8, 4))  # judges x seeds
NAMES = tuple(f"{judges} x {seeds}" for judges, seeds in SIZES)
MODELS = ("30 features", "60 features, ridge", "MLP")
CLAIM = Claim(
    id="BV4",
    statement="By how much ensembles of new members (1 training set x 4 seeds, 8 x 1, 8 x 4) err less is predicted "
    "within 5 % by the noise of other members, and ensembles over training sets err at least 5 % less.",
    lecture="A multiple expert model may be a solution.",
    rule=every_part(),
    unit=MISS,
    budget={"repetitions": 4},
    corrected="It removes variance, not bias: training sets divide level and stable pattern, seeds only the noise of "
    "occasions. The gain can be predicted, the error itself less well, as halves of 16 training sets differ.",
    parts=(
        *(
            Part(
                name,
                f"The gain is predicted within 5 %: {name}.",
                less(WORTH),
                MISS,
                bounds=POSITIVE,
                repeats="repetitions",
            )
            for name in MODELS
        ),
        Part(
            "gain",
            "Ensembles over training sets gain at least 5 %.",
            greater(0, worth=float(np.log(1 + WORTH))),
            GAIN,
            repeats="repetitions",
        ),
    ),
)


def root_mean_square(values: Array) -> Interval:
    """Of normal values with mean 0, by the chi-square distribution: how large misses are, whichever way."""
    n, total = len(values), float((np.asarray(values) ** 2).sum())
    points = 2 * special.gammaincinv(n / 2, [(1 + LEVEL) / 2, (1 - LEVEL) / 2])  # of the chi-square distribution
    low, high = np.sqrt(total / points)
    return Interval(float(np.sqrt(total / n)), float(low), float(high), n, "root mean square, chi-square")


def finding(lab: Lab, found: Mapping[str, list[Ensembles]]) -> Finding:
    """Judge the misses and the gains of every model, one result a repetition."""
    miss = {name: np.array([one["miss"] for one in each]) for name, each in found.items()}  # (repetitions, sizes)
    share = {name: np.array([one["measured share"] for one in each]) for name, each in found.items()}
    said = {name: np.array([one["predicted share"] for one in each]) for name, each in found.items()}
    sizes = {name: [root_mean_square(column) for column in of.T] for name, of in miss.items()}
    gains = [
        interval.mean(-np.log(of[:, place])) for of in share.values() for place, (j, _) in enumerate(SIZES) if j > 1
    ]
    parts = {name: max(each, key=lambda one: one.high) for name, each in sizes.items()}
    parts["gain"] = min(gains, key=lambda one: one.low)
    count = {name: len(of) for name, of in miss.items()}
    panels = [
        Figure.of(
            name,
            [
                interval_bars({size: interval.mean(of[:, place]) for place, size in enumerate(NAMES)}, label=label)
                for label, of in (("predicted", said[name]), ("measured", share[name]))
            ],
            Axis("training sets x seeds"),
            Axis("error / that of a single fit"),
        )
        for name in found
    ]
    return lab.finding(
        claim=CLAIM,
        parts=parts,
        ran={"repetitions": min(count.values())},
        figures=Figure.row(
            panels,
            title="What ensembles gain",
            caption="Predicted from 8 training sets, measured on 8 others. Means with 95 % intervals over "
            + ", ".join(f"{number} ({name})" for name, number in count.items())
            + " reshuffles of one pool of digits.",
        ),
        readings=[
            lab.reading(f"{what}, {name}", of, {"repetition": range(len(of)), "ensemble": NAMES})
            for what, tables in (("miss of the gain", miss), ("error of ensembles / of one", share))
            for name, of in tables.items()
        ],
        sentences=[
            f"{name}: ensembles of {', '.join(NAMES)} err "
            + ", ".join(f"{1 - mean:.0%}" for mean in share[name].mean(0))
            + " less than one; predicted, "
            + ", ".join(f"{1 - mean:.0%}" for mean in said[name].mean(0))
            + ". The gain is missed by "
            + ", ".join(f"{each.estimate:.1%} (up to {each.high:.1%})" for each in sizes[name])
            + "."
            for name in found
        ],
        numbers={
            "rms of the miss, 95 % interval": {
                name: {size: [one.low, one.estimate, one.high] for size, one in zip(NAMES, each, strict=True)}
                for name, each in sizes.items()
            }
        },
    )
