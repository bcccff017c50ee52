"""NTK9: what the condition number tells of training, and what it does not."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from thalweg import data
from thalweg.claims import Claim, Finding, Part, every_part, greater, within
from thalweg.data import Examples
from thalweg.figures import Axis, Figure, Scatter
from thalweg.statistics import CORRELATION, POSITIVE, Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.ntk import limits
from thalweg.studies.ntk.limits import PhaseMap
from thalweg.studies.ntk.random_nets import ACTIVATIONS, Architecture, drawn
from thalweg.studies.ntk.setting import dealt, digits_of_one_norm
from thalweg.studies.ntk.trainability import (
    ACCURACY,
    ADAM,
    CAP,
    EXAMPLES,
    KAPPA,
    LEVEL,
    RATES,
    STEPS,
    TESTED,
    Scored,
    scored,
    tau,
)
from thalweg.studies.ntk.wide_enough import BEYOND, CONDITION, FROM, TO, Measured, measured
from thalweg.studies.study import decides

Array = NDArray[np.float64]
DRAWN = "architectures"  # what an interval of a rank correlation counts
TAU = "Kendall's tau over architectures"
DEEP_INPUTS = 20
CLAIM = Claim(
    id="NTK9",
    statement="The condition number of the infinite net's tangent kernel goes to (n + 3) / 3 with the depth of "
    "critical ReLU nets without biases on inputs of one norm, and to (n + 2) / 2 with erf on its critical line, within "
    "1 % at depth 3,000; over random fully connected architectures it orders the steps of gradient descent at 1 / "
    "lambda_max to 1 % of the loss on 32 digits, tau > 0.2. It does not tell when a net is wide enough, nor is a well "
    "conditioned one better on test digits.",
    lecture="Compute the NTK at initialization: a good condition number means a trainable architecture, and tells when "
    "a network is wide enough.",
    rule=every_part(),
    unit=TAU,
    corrected="It orders architectures by the steps of gradient descent at the rate 1 / lambda_max, and only that. The "
    "condition number of a finite net is near that of infinite width long before training is linear, so it cannot tell "
    "when that is; and deep chaotic nets have a condition number near 1 and answer at chance.",
    parts=(
        Part("ReLU", "At depth 3,000 it is (n + 3) / 3 within 1 %.", within(0.99, 1.01), "ratio", bounds=POSITIVE),
        Part("erf", "At depth 3,000 it is (n + 2) / 2 within 1 %.", within(0.99, 1.01), "ratio", bounds=POSITIVE),
        Part(
            "order",
            "Where it is larger, descent takes more steps.",
            greater(0, worth=0.2),
            TAU,
            bounds=CORRELATION,
            repeats=DRAWN,
        ),
        Part(
            "width",
            "From width 512 to 2,048 its logarithm changes by less than a quarter of what that of f - f_lin does.",
            within(-0.25, 0.25),
            "change / change",
        ),
        Part(
            "test",
            "It is not larger where test accuracy is lower.",
            greater(-0.2),
            TAU,
            bounds=CORRELATION,
            repeats=DRAWN,
        ),
        Part(
            "Adam",
            "It orders the steps of Adam, too.",
            greater(0, worth=0.2),
            TAU,
            decides=False,
            bounds=CORRELATION,
            repeats=DRAWN,
        ),
    ),
)


def unscaled(rows: Tensor) -> Tensor:
    """Digits, centered, with the norms that they have, which are 8 in the mean."""
    train = data.digits().train
    assert isinstance(train, Examples)
    inputs, _ = train.take(rows % len(train))
    assert isinstance(inputs, Tensor)
    centered = inputs - inputs.mean(0)
    return 8 * centered / centered.norm(dim=1).mean()


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Take kernels to great depths, train random architectures, and widen one of them."""
    count, each = lab.pick(quick=24, full=48), lab.pick(quick=2, full=4)
    seeds = lab.seeds(quick=count * each, full=count * each).scored
    pixels, of = digits_of_one_norm()
    signs = (1 - 2 * (of % 2)).float()
    (deepest,) = dealt(len(pixels), seeds[:1], DEEP_INPUTS)
    deep = limits.limits(pixels[deepest[0]], unscaled(deepest[0]))
    few, held = (table[0] for table in dealt(len(pixels), seeds[:1], EXAMPLES, TESTED))
    phases = limits.phases(pixels[few], signs[few], pixels[held], signs[held].numpy())
    architectures = drawn(lab.seed, count)
    nets = scored(architectures, seeds, (pixels, signs), lab.pick(quick=64, full=128))
    widths = lab.pick(quick=(16, FROM, TO), full=(16, 64, 256, FROM, 1_024, TO))
    wide = measured(lab, seeds[: lab.pick(quick=6, full=12)], widths)
    return judged(lab, deep, phases, architectures, nets, wide)


def judged(
    lab: Lab,
    deep: dict[str, float],
    phases: PhaseMap,
    architectures: list[Architecture],
    nets: Scored,
    wide: Measured,
) -> Finding:
    """The limits as they are, rank correlations over architectures, and changes with the width over seeds."""
    exact = {name: Interval(deep[name], deep[name], deep[name], 1, "computed exactly") for name in ("ReLU", "erf")}
    taus = {
        name: {outcome: tau(values, of) for outcome, of in nets.outcomes.items()}
        for name, values in nets.scores.items()
    }
    mine = taus[KAPPA]
    better = max(taus, key=lambda name: abs(taus[name][ADAM].estimate))
    kappa, steps = nets.scores[KAPPA], nets.outcomes[STEPS]
    kinds = np.array([one.activation for one in architectures])
    dots = [
        Scatter(kappa[kinds == kind], steps[kinds == kind], label=kind) for kind in ACTIVATIONS if kind in set(kinds)
    ]
    trained = Figure.of(
        "Random architectures",
        dots,
        Axis("condition number of the infinite net", scale="log"),
        Axis(f"steps to {LEVEL:.0%} of the loss", scale="log"),
    )
    changes = {name: np.exp(wide.change(name).mean()) for name in (CONDITION, BEYOND)}
    last = wide.tables[CONDITION].mean(1)
    places = range(len(architectures))
    return lab.finding(
        parts={
            **exact,
            "order": mine[STEPS],
            "width": interval.mean(wide.told),
            "test": mine[ACCURACY],
            "Adam": mine[ADAM],
        },
        figures=Figure.row(
            [phases.figure(), trained, wide.figure()],
            title="What the condition number tells",
            caption=f"Map: analytic kernels of {EXAMPLES} digits by parity, sigma_b {limits.MAP_BIAS:g}; contours are "
            f"the accuracy of regression with them. Dots: {len(kappa)} architectures, descent at 1 / lambda_max, "
            f"means over seeds. Widths: one hidden tanh layer, {wide.tables[CONDITION].shape[1]} seeds.",
        ),
        readings=[
            *(
                lab.reading(f"{name} of architectures", of, {"architecture": places})
                for name, of in (*nets.scores.items(), *nets.outcomes.items())
            ),
            *(
                lab.reading(name, table, {"width": wide.widths, "net": range(table.shape[1])})
                for name, table in wide.tables.items()
            ),
            lab.reading(
                "log10 of the condition number", phases.log10, {"depth": limits.MAP_DEPTHS, "sigma_w": limits.MAP_STDS}
            ),
        ],
        sentences=[
            f"At depth {limits.DEEP:,} the condition number of ReLU nets is {deep['ReLU']:.4f} of (n + 3) / 3, and "
            f"that of erf nets {deep['erf']:.4f} of (n + 2) / 2, after {deep[limits.EARLIER]:.4f} at "
            f"{limits.LESS_DEEP:,}, where two digits that are nearly alike still keep a set from it.",
            f"On inputs of several norms it is {deep[limits.NORMS]:.3g} instead of {(DEEP_INPUTS + 3) / 3:.3g}; with "
            f"biases of 0.1 it is {deep[limits.BIASED]:.3g} at depth 100 and {deep[limits.BIASED_DEEPER]:.3g} at "
            f"{limits.LESS_DEEP:,}; of erf without biases, {deep[limits.UNBIASED]:.3g}.",
            f"Over {len(kappa)} architectures its rank correlation with the steps of descent is {mine[STEPS]}, with "
            f"those of the best of {len(RATES)} rates of Adam {mine[ADAM]}, and with test accuracy {mine[ACCURACY]}.",
            f"The score that orders Adam best is the {better}, {taus[better][ADAM]}. {nets.capped:.0%} of the runs of "
            f"descent did not arrive in {CAP:,} steps.",
            f"The whole spectrum with the targets in it orders descent by {taus['predicted steps'][STEPS]}, and the "
            f"smallest eigenvalue alone by {taus['smallest eigenvalue'][STEPS]}.",
            f"At width {wide.widths[0]} the condition number is {last[0]:.2f} times, and at {FROM} "
            f"{last[wide.widths.index(FROM)]:.2f} times, that of infinite width; from there to {TO:,} it falls by a "
            f"factor {changes[CONDITION]:.2f}, while f - f_lin falls by {changes[BEYOND]:.1f}.",
        ],
        numbers={
            "Kendall's tau": {name: {of: str(one) for of, one in each.items()} for name, each in taus.items()},
            "share of runs at the cap": nets.capped,
            "deep kernels": deep,
            "kernels of the map that are singular to working precision": int(phases.singular.sum()),
        },
    )
