"""NTK5: what the spectrum of the tangent kernel says of the speed of training, and what its smallest eigenvalue says.

Settings were looked at on the seeds of the labs 500 and above, on which nothing is scored.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.data import Data, Examples
from thalweg.figures import Axis, Figure, Line, ReferenceLine, Scatter
from thalweg.randomness import generator
from thalweg.statistics import POSITIVE, Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.ntk.modes import (
    LEVEL,
    Followed,
    errors_of,
    followed,
    predicted_loss,
    tail_error,
)
from thalweg.studies.ntk.setting import digits_of_one_norm, largest_rate
from thalweg.studies.ntk.subsets import TRAIN, Sets, analytic
from thalweg.studies.ntk.wide import ARMS
from thalweg.studies.study import decides

Array = NDArray[np.float64]
WIDTH, STEPS = 1_024, 400  # four times the 60 to 110 by which networks are at 1 % of the loss; modes are at 1/e by 200
WIDTHS = {"quick": (WIDTH,), "full": (256, WIDTH, 4_096)}
SPEED = 0.25  # times 1 / the largest eigenvalue: at 1 the fast modes, which have most of the loss, end within 4 steps
RATES = "relative error of the rates of modes, the mean weighted by their share of the first loss"
TIMES = "relative error of the steps to 1 % of the first loss"
TAIL, TAILED = 800, 5  # steps with random labels, in the later half of which the last mode is alone; seeds that do
CLAIM = Claim(
    id="NTK5",
    statement="At width 1,024 the whole spectrum of the kernel before training, with the projections of the residual "
    "on its eigenvectors, predicts the rates of modes, on average over their shares of the loss, and the steps to 1 % "
    "of the loss within 5 %. (One hidden layer, tanh and ReLU, 24 digits, gradient descent at a quarter of 1 / the "
    "largest eigenvalue.)",
    lecture="It predicts convergence: the rate of convergence can be computed from lambda_min(Theta).",
    rule=every_part(),
    unit=TIMES,
    budget={"units": WIDTH, "steps": STEPS},
    corrected="lambda_min alone is the rate of the last mode, on which real labels hardly project, and so a bound on "
    "the time from above, several times too long. What predicts the time is the spectrum with the residual's "
    "projections.",
    parts=(
        *(
            Part(f"{arm}, {what}", f"With {arm} {what} are predicted.", less(0.05), unit, bounds=POSITIVE)
            for arm in ("tanh", "ReLU")
            for what, unit in (("rates", RATES), ("steps", TIMES))
        ),
        Part(
            "bound",
            "The steps that lambda_min alone allows are more than those taken.",
            greater(1),
            "steps by lambda_min / steps taken, of the activation where it is less",
            decides=False,
            bounds=POSITIVE,
        ),
        *(
            Part(
                name,
                f"Control: {how} does not predict the rates.",
                greater(0.05),
                f"{RATES}; the smaller of both activations",
                decides=False,
                bounds=POSITIVE,
            )
            for name, how in (
                ("NNGP", "the kernel of the Gaussian process, scaled to equal trace,"),
                ("trace / n", "one eigenvalue for all modes, the mean one,"),
            )
        ),
    ),
    lecture_rule=less(0.05),
)


def at_random(seed: int) -> Data:
    """The digits with targets +1 and -1 at random."""
    pixels, _ = digits_of_one_norm()
    signs = 2 * torch.randint(2, (len(pixels), 1), generator=generator(seed, "ntk labels")).float() - 1
    return Data(Examples(pixels, signs), name="digits with random labels")


def drawn(one: Followed) -> Figure:
    """Of the first network: modes against their predictions, and the loss against three."""
    values, vectors = torch.linalg.eigh(one.first[0])
    modes = one.residual[0] @ vectors
    left = (modes / modes[0]).abs().numpy()
    predicted = ((1 - one.rate * values) ** one.steps[:, None]).numpy()
    shown = predicted > np.exp(-1)
    ends = np.array([np.exp(-1), 1.0])
    colors = np.broadcast_to(values.log10().numpy(), shown.shape)[shown]
    steps, whole = one.steps.numpy(), predicted_loss(one, one.first)[0].numpy()
    alone = {"lambda_min": values[0], "trace / n": values.mean()}
    lines = {"the spectrum": whole} | {
        name: ((1 - one.rate * value) ** (2 * one.steps)).numpy() for name, value in alone.items()
    }
    marks = [Line(steps[1:], np.maximum(of[1:], 1e-6), label=name) for name, of in lines.items()]
    return Figure.row(
        [
            Figure.of(
                "Modes",
                [
                    Scatter(predicted[shown], left[shown], color=colors, size=3.0),
                    Line(ends, ends, label="as predicted"),
                ],
                Axis("share left, predicted", scale="log"),
                Axis("share left, measured", scale="log"),
                Axis("log10 eigenvalue"),
            ),
            Figure.of(
                "Loss",
                [
                    *marks,
                    Scatter(steps[1:], np.maximum(one.loss[0].numpy()[1:], 1e-6), label="network", size=3.0),
                    ReferenceLine(LEVEL, label="1 %"),
                ],
                Axis("step", scale="log"),
                Axis("share of the first loss", scale="log"),
            ),
        ],
        title="Convergence by the spectrum of the kernel",
        caption=f"One network of tanh, width {WIDTH:,}, {TRAIN} digits. Left: every mode of its kernel before training "
        "at every step looked at, until 1/e is left. Right: the loss, by the whole spectrum, by the smallest "
        "eigenvalue alone and by the mean one alone; below 1e-6 it is drawn as that.",
    )


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Compare rates of modes and the steps to 1 % of the loss with what kernels predict."""
    seeds, widths, arms = lab.seeds(quick=6, full=10).scored, WIDTHS[lab.scale], ("tanh", "ReLU")
    sets, table, tails, figure = Sets.of(seeds), {}, {}, None
    for arm in arms:
        limits = {name: of[:, :TRAIN] for name, of in analytic(sets, ARMS[arm].activation).items()}
        rate = SPEED * largest_rate(limits["analytic"])
        for width in widths:
            one = followed(lab, sets, arm, width, rate, STEPS)
            table[arm, width] = errors_of(one, limits["analytic"], limits["NNGP"])
            figure = drawn(one) if (arm, width) == (arms[0], WIDTH) else figure
        if lab.scale == "full":
            few = Sets.of(seeds[:TAILED], at_random(lab.seed))
            tails[arm] = tail_error(followed(lab, few, arm, WIDTH, rate, TAIL))
    names = list(table[arms[0], widths[0]])
    values = np.array([[[table[arm, width][name] for name in names] for width in widths] for arm in arms])
    at = {(arm, name): table[arm, WIDTH][name] for arm in arms for name in names}
    mean = {key: interval.mean(of, bounds=POSITIVE) for key, of in at.items()}

    def least(name: str) -> Interval:
        return min((mean[arm, name] for arm in arms), key=lambda one: one.estimate)

    loose = "lambda_min, steps / steps taken"
    violated = sum(int((at[arm, loose] < 1).sum()) for arm in arms)
    assert figure is not None
    return lab.finding(
        parts={f"{arm}, {what}": mean[arm, f"own, {what}"] for arm in arms for what in ("rates", "steps")}
        | {"bound": least(loose), "NNGP": least("NNGP, rates"), "trace / n": least("trace / n, rates")},
        lecture=min((interval.mean(at[arm, loose] - 1) for arm in arms), key=lambda one: one.estimate),
        ran={"units": WIDTH, "steps": STEPS},
        figures=figure,
        readings=lab.reading(
            "errors of predictions", values, {"activation": arms, "width": widths, "of": names, "seed": seeds}
        ),
        sentences=[
            *(
                f"With {arm} at width {WIDTH:,} the spectrum predicts the rates of modes within "
                f"{mean[arm, 'own, rates'].estimate:.1%} and the steps to 1 % of the loss within "
                f"{mean[arm, 'own, steps'].estimate:.1%} on average; that of the analytic kernel within "
                f"{mean[arm, 'analytic, rates'].estimate:.1%} and {mean[arm, 'analytic, steps'].estimate:.1%}."
                for arm in arms
            ),
            f"lambda_min alone allows {mean['tanh', loose].estimate:.1f} (tanh) and {mean['ReLU', loose].estimate:.1f} "
            f"(ReLU) times the steps that are taken, a bound that {violated} of {2 * len(seeds)} networks violate.",
            *(
                f"With random labels and {arm} the last mode goes at the rate of lambda_min of the kernel after "
                f"training, within {of.mean():.1%}."
                for arm, of in tails.items()
            ),
        ],
        numbers={
            "means by activation, width and prediction": {
                f"{arm}, {width}": {name: float(of.mean()) for name, of in one.items()}
                for (arm, width), one in table.items()
            },
            "error of the last mode's rate, random labels": {arm: of.tolist() for arm, of in tails.items()},
        },
    )
