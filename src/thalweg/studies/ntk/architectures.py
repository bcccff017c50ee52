"""NTK6: the mean kernel of finite networks of three architectures equals the analytic one; the lecture's do not.

What is scored is not that a test finds no difference, which few networks always pass, but how far the two can be apart:
the distance of the mean over networks from the analytic kernel and the ball of that mean. The analytic kernels are read
off the modules themselves. Scores q . k / sqrt(d) without a softmax are left out: their kernels over initializations
are heavy tailed, and no number of networks that fits here tells anything (brute force tests them).
"""

import numpy as np

from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.figures import Axis, Figure, ReferenceLine, interval_bars
from thalweg.statistics import POSITIVE, Interval
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.families import CASES
from thalweg.studies.ntk.mean_kernels import Measured, measured
from thalweg.studies.study import decides

MARGIN = {"FC": 0.05, "CNN": 0.05, "attention": 0.1}
WORDS = {"FC": "fully connected networks", "CNN": "convolutional networks", "attention": "attention"}
NETWORKS = {
    "quick": {"FC": 1_000, "CNN": 300, "attention": 300},
    "full": {"FC": 4_000, "CNN": 1_200, "attention": 3_000},
}
WIDTHS = {  # of two, means are extrapolated
    "quick": {"FC": (128,), "CNN": (64,), "attention": (32,)},
    "full": {"FC": (256, 128), "CNN": (64,), "attention": (32, 16)},
}
AWAY = "distance of the mean kernel of networks, relative to the size of the analytic one"
FLATTENED, NULL = "lecture, CNN flattened", "flattened kernel"
CLAIM = Claim(
    id="NTK6",
    statement="Over initializations the mean covariance K and tangent kernel Theta of small networks are the analytic "
    "ones within 5 % (fully connected of 2 or 3 layers with ReLU, tanh and GELU; two convolutions 3 x 3, flattened and "
    "pooled) and 10 % (attention with softmax, q . q / d and q . k / sqrt(d)); of the lecture's formulas Theta is "
    "farther than that. (4 random inputs of one norm, NTK parameterization.)",
    lecture="Theta_FC = sum_l Sigma_l Sigma-dot_l; Theta_CNN = sum of Theta_FC over patches; Theta_Attn = sum_ij "
    "alpha_ij(x) alpha_ij(x') Theta_base(x_i, x'_j).",
    rule=every_part(),
    unit=AWAY,
    lecture_rule=less(0.05),
    corrected="Theta_l = Sigma_l + Theta_(l-1) Sigma-dot_l, so every term of the sum over layers has all later "
    "Sigma-dot as factors, and the last layer's has none. Convolutions act on kernels of pairs of positions, layer by "
    "layer; pooling sums over all pairs, and without it patches of the receptive field's size come near. Attention of "
    "q . q / d has sum_ij alpha_ai alpha'_bj (Theta_ij + 2 K_ij): values and the output layer have gradients too.",
    parts=(
        *(
            Part(family, f"The kernels of {WORDS[family]} are the analytic ones.", less(margin), AWAY, bounds=POSITIVE)
            for family, margin in MARGIN.items()
        ),
        *(
            Part(
                f"lecture, {family}",
                f"The lecture's formula is not the tangent kernel of {words}.",
                greater(MARGIN[family]),
                AWAY,
                bounds=POSITIVE,
            )
            for family, words in (WORDS | {"CNN": "convolutional networks with pooling"}).items()
        ),
        Part(
            FLATTENED,
            "Without pooling the lecture's sum over patches, 5 x 5, is not the tangent kernel either.",
            greater(0.05),
            AWAY,
            decides=False,
            bounds=POSITIVE,
        ),
        Part(
            NULL,
            "Control: the kernel of the flattened network, at equal trace, is not that of the pooled one.",
            greater(0.05),
            AWAY,
            decides=False,
            bounds=POSITIVE,
        ),
    ),
)


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Draw networks of every architecture, and compare their mean kernels with the analytic ones."""
    networks, widths = NETWORKS[lab.scale], WIDTHS[lab.scale]
    return found(lab, [measured(lab, case, networks[case.family], widths[case.family]) for case in CASES])


def farthest(intervals: list[Interval]) -> Interval:
    """That of the largest of several distances: its upper end is below a margin only if all are."""
    estimate, low, high = (max(getattr(one, name) for one in intervals) for name in ("estimate", "low", "high"))
    return Interval(
        estimate, low, high, min(one.n for one in intervals), f"largest of {len(intervals)}: {intervals[0].method}"
    )


def nearest(intervals: list[Interval]) -> Interval:
    """That of the smallest of several distances: its lower end is above a margin only if all are."""
    estimate, low, high = (min(getattr(one, name) for one in intervals) for name in ("estimate", "low", "high"))
    return Interval(
        estimate, low, high, min(one.n for one in intervals), f"smallest of {len(intervals)}: {intervals[0].method}"
    )


def found(lab: Lab, each: list[Measured]) -> Finding:
    """How far every family is from its analytic kernels, and from the lecture's formula in the reading that is scored.

    Of several readings the first is scored.
    """
    by_name = {one.case.name: one for one in each}
    away = {name: {kernel: one.away(kernel) for kernel in one.kernels} for name, one in by_name.items()}
    lecture = {
        name: {reading: one.away("Theta", formula) for reading, formula in one.lecture.items()}
        for name, one in by_name.items()
        if one.lecture
    }
    scored = {name: next(iter(readings.values())) for name, readings in lecture.items()}
    flat, pooled = by_name["CNN, flattened"].limit["Theta"], by_name["CNN, pooled"]
    outside = {
        "FC": nearest([one for name, one in scored.items() if by_name[name].case.family == "FC"]),
        "CNN": scored["CNN, pooled"],
        "attention": scored["attention, 1/d, tied"],
    }
    parts = {
        family: farthest(
            [one for name, of in away.items() if by_name[name].case.family == family for one in of.values()]
        )
        for family in MARGIN
    }
    parts |= {f"lecture, {family}": one for family, one in outside.items()} | {
        FLATTENED: scored["CNN, flattened"],
        NULL: pooled.away("Theta", flat * np.trace(pooled.limit["Theta"]) / np.trace(flat)),
    }
    missing = Interval.missing("no formula")
    figure = Figure.of(
        "Kernels of three architectures",
        [
            *(
                interval_bars({name: of[kernel] for name, of in away.items()}, label=f"{kernel}, analytic")
                for kernel in ("K", "Theta")
            ),
            interval_bars({name: scored.get(name, missing) for name in away}, label="Theta, the lecture's formula"),
            ReferenceLine(0.05, label="5 %"),
            ReferenceLine(0.1, label="10 %, for attention"),
        ],
        Axis(""),
        Axis("distance of the mean over networks", scale="log"),
        caption="Distance of the mean kernel of networks from what it is compared with, relative to the analytic one, "
        f"with the 95 % ball around the mean; {', '.join(f'{one.networks:,} x {one.case.name}' for one in each)}.",
    )
    sentences = [
        f"The mean kernels of {WORDS[family]} are {parts[family]:.1%} away from the analytic ones where they are "
        f"farthest; the tangent kernel is {outside[family]:.0%} away from the lecture's formula"
        + (f", and {scored['CNN, flattened']:.1%} without pooling." if family == "CNN" else ".")
        for family in MARGIN
    ]
    return lab.finding(
        parts=parts,
        lecture=farthest(list(outside.values())),
        figures=figure,
        readings=lab.reading(
            "distance from the analytic kernel",
            [[[one.low, one.estimate, one.high] for one in of.values()] for of in away.values()],
            {"network": list(away), "kernel": ["K", "Theta"], "end": ["low", "estimate", "high"]},
        ),
        sentences=sentences,
        numbers={
            "networks, widths": {name: [one.networks, *one.widths] for name, one in by_name.items()},
            "distance from the analytic kernel": {
                f"{name}, {kernel}": str(one) for name, of in away.items() for kernel, one in of.items()
            },
            "distance from the lecture's formula": {
                f"{name}, {reading}": str(one) for name, of in lecture.items() for reading, one in of.items()
            },
        },
    )
