"""DD4: double descent in the width of networks whose labels are noisy; and what removes it."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thalweg import data, optim
from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.figures import Figure
from thalweg.generalization.double_descent import NetworkCurve, over_depths, over_widths
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides

Array = NDArray[np.float64]
NOISE = 0.2
# The widths of full digits are the design's and 40, the peak on tuning seeds, which quick has too.
DIGITS = {"quick": (8, 40, 256, 512), "full": (6, 8, 12, 24, 32, 40, 48, 128, 256, 512)}
CLEAN = {"quick": DIGITS["quick"], "full": DIGITS["full"][:-1]}  # the widest takes as long as all others
SIGNALS = (10, 16, 24, 32, 48, 64, 128)  # of MNIST-1D, two hidden layers
# The widths on the left and at the peak, about where training error first comes to 1 %, on seeds 500 and up.
LEFT, TOP = {"digits": 8, "MNIST-1D": 16}, {"digits": 40, "MNIST-1D": 48}
WORTH, ALL = 1.0, (-100.0, 100.0)  # points: the smallest effect, and the largest there can be
UNIT = "points of test error"


def _stopped_early(name: str) -> Part:
    """Networks on MNIST-1D differ by 2 points between seeds, too much to see 1 point anywhere: there one width is."""
    at_best = f"{name}, 20 % of labels wrong: at their best steps"
    says = {
        "digits": (f"{at_best} no width between errs a point more than narrower and wider ones.", less(WORTH)),
        "MNIST-1D": (f"{at_best} width {TOP[name]} errs less than {LEFT[name]}.", less(0)),
    }
    return Part(f"{name}, stopped early", *says[name], UNIT, bounds=ALL)


def _parts(name: str) -> tuple[Part, ...]:
    left, top, of = LEFT[name], TOP[name], f"{name}, 20 % of labels wrong: width"
    return (
        Part(f"{name}, left", f"{of} {top} errs more than {left}.", greater(0, worth=WORTH), UNIT, bounds=ALL),
        Part(f"{name}, right", f"{of} {top} errs more than the widest.", greater(0, worth=WORTH), UNIT, bounds=ALL),
        _stopped_early(name),
    )


CLAIM = Claim(
    id="DD4",
    statement="Small MLPs trained on 20 % wrong labels, on digits and MNIST-1D, err most at a width in between; not "
    "with clean labels (digits), and not at the best step of training.",
    lecture="Double descent appears in model size: width and depth.",
    rule=every_part(),
    unit=UNIT,
    budget={"data sets": 2},
    corrected="It appears with noisy labels and without early stopping. The width where labels are first met goes with "
    "no count of parameters, and beyond it the share of wrong classes falls about to the first minimum, while test "
    "loss stays above it.",
    parts=(
        *_parts("digits"),
        *_parts("MNIST-1D"),
        Part(
            "digits, clean",
            "With clean labels no width between errs a point more than narrower and wider ones.",
            less(WORTH),
            UNIT,
            bounds=ALL,
        ),
    ),
)
UNKNOWN = Interval.missing("not run at this scale")


def on_digits(lab: Lab, noise: float, widths: tuple[int, ...]) -> NetworkCurve:
    """One hidden layer, 500 digits."""
    return over_widths(
        data.digits(),
        widths,
        n=500,
        noise=noise,
        seeds=lab.seeds(quick=6, full=8).scored,
        steps=1_500,
        optimizer=optim.Adam(5e-3),
        evaluate=lab.pick(quick=12, full=20),
        device=lab.device,
        progress=lab.labelled(f"{100 * noise:g} % of the digits' labels wrong"),
        workers=lab.workers,
    )


def on_signals(lab: Lab) -> NetworkCurve:
    """Two hidden layers, disjoint sets of 2,000 signals."""
    seeds = lab.seeds(quick=6, full=8).scored
    return over_widths(
        data.mnist1d(train=2_000 * len(seeds), test=4_000),
        SIGNALS,
        n=2_000,
        layers=2,
        noise=NOISE,
        seeds=seeds,
        steps=3_000,
        optimizer=optim.Adam(3e-3),
        device=lab.device,
        progress=lab.labelled("MNIST-1D"),
        workers=lab.workers,
    )


def over_layers(lab: Lab) -> NetworkCurve:
    """Depth, which is shown."""
    return over_depths(
        data.digits(),
        range(1, 7),
        n=500,
        width=16,
        seeds=lab.seeds(quick=3, full=3).scored,
        device=lab.device,
        progress=lab.labelled("depth"),
        workers=lab.workers,
    )


def standing_out(errors: Array) -> Array:
    """How much more the size that stands out most errs than its better-matched side, of (sizes, seeds): (seeds,).

    A size between stands out by the mean error that it has above both the least at smaller sizes and the least at
    larger ones. Which size does so the most, and the side that it is less above, are chosen on the other seeds, so that
    scatter is not taken for a peak.
    """
    found = np.empty(errors.shape[1])
    for seed in range(errors.shape[1]):
        means = np.delete(errors, seed, axis=1).mean(1)
        sides = [
            max(int(means[:place].argmin()), place + 1 + int(means[place + 1 :].argmin()), key=lambda at: means[at])
            for place in range(1, len(means) - 1)
        ]
        most = int(np.argmax(means[1:-1] - means[sides]))
        found[seed] = errors[most + 1, seed] - errors[sides[most], seed]
    return found


def judged(curve: NetworkCurve, name: str) -> dict[str, Interval]:
    """The parts of one data set."""
    left, top, widest = (100 * curve.at(width) for width in (LEFT[name], TOP[name], int(curve.sizes[-1])))
    best = dict(zip(curve.sizes.tolist(), 100 * curve.best, strict=True))
    early = standing_out(100 * curve.best) if name == "digits" else best[TOP[name]] - best[LEFT[name]]
    values = {"left": top - left, "right": top - widest, "stopped early": early}
    return {f"{name}, {part}": interval.mean(each, bounds=ALL) for part, each in values.items()}


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Noisy and clean digits, noisy signals, and depth."""
    noisy = {"digits": on_digits(lab, NOISE, DIGITS[lab.scale])}
    clean = on_digits(lab, 0.0, CLEAN[lab.scale])
    if lab.scale == "full":
        noisy["MNIST-1D"] = on_signals(lab)
    parts = {part.id: UNKNOWN for part in CLAIM.parts}
    for name, curve in noisy.items():
        parts |= judged(curve, name)
    parts["digits, clean"] = interval.mean(standing_out(100 * clean.last), bounds=ALL)
    rows = [curve.figure().with_marks(title=name) for name, curve in noisy.items()]
    if lab.scale == "full":
        rows.append(over_layers(lab).figure().with_marks(title="Digits, width 16"))
    figure = Figure.row(rows, title="Error over the size of networks")
    return lab.finding(
        parts=parts,
        ran={"data sets": len(noisy)},
        figures=figure,
        readings=[replace(curve.reading, name=name) for name, curve in noisy.items()],
        sentences=[
            f"On {name} width {LEFT[name]} errs on {100 * curve.at(LEFT[name]).mean():.1f} %, {TOP[name]} on "
            f"{100 * curve.at(TOP[name]).mean():.1f} % and {curve.sizes[-1]} on {100 * curve.last[-1].mean():.1f} %; "
            f"labels are first met at width {curve.threshold}. Test loss goes from "
            f"{curve.at(LEFT[name], 'test loss').mean():.2f} over {curve.at(TOP[name], 'test loss').mean():.2f} to "
            f"{curve['test loss'][-1, -1].mean():.2f} nats."
            for name, curve in noisy.items()
        ],
        numbers={
            "parameters an example at the peak": {
                name: float(curve["parameters"][int(np.argmax(curve.sizes == TOP[name]))])
                / {"digits": 500, "MNIST-1D": 2_000}[name]
                for name, curve in noisy.items()
            },
            "clean digits, wrong classes by width, %": {
                str(width): float(100 * of.mean()) for width, of in zip(clean.sizes, clean.last, strict=True)
            },
        },
    )
