"""DD5: double descent in training time, where inputs have separate scales; and in small networks none."""

import numpy as np

from thalweg import data, optim
from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.generalization.double_descent import NetworkCurve, TimeCurve, over_training, over_widths
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides

FIRST, PEAK, SECOND = 2, 30, 2_000  # steps of the first minimum, the peak and the second minimum on seeds 500 to 559
LAST, POINTS = 50_000, 200
RATES = {"quick": (3e-3,), "full": (1e-3, 3e-3)}  # of the network; the last is judged
EARLY = (50, 150)  # steps around the least error of the network at both rates on seeds 500 to 503
UNIT = "log ratio of test risks"
CLAIM = Claim(
    id="DD5",
    statement="Linear regression with inputs on two scales goes down, up, and down again in training time.",
    lecture="Double descent appears in training time, too.",
    rule=every_part(),
    unit=UNIT,
    corrected="It does where features have separate scales, each with a descent and an overfitting of its own. The "
    "small network on noisy labels that is judged beside goes down and up, and stays up.",
    parts=(
        Part("up", f"From step {FIRST} to step {PEAK} risk rises by 5 %.", greater(0, worth=0.05), UNIT),
        Part("down", f"From step {PEAK} to step {SECOND} it falls by 5 %.", less(0, worth=-0.05), UNIT),
        Part(
            "network, up",
            "An MLP 64-256-10 on digits with 20 % wrong labels errs more in the second half of training than "
            f"from step {EARLY[0]} to {EARLY[1]}, on average.",
            greater(0),
            "points",
            decides=False,
        ),
        Part(
            "network, no second descent",
            "From the second quarter of its steps to the last eighth its error falls by no point.",
            greater(-1),
            "points",
            decides=False,
        ),
    ),
)


def steps() -> np.ndarray:
    """Those at which risk is taken: the three that are scored and others at equal ratios."""
    return np.unique([FIRST, PEAK, SECOND, *np.geomspace(1, LAST, POINTS).round().astype(int)])


def changes(curve: TimeCurve) -> dict[str, np.ndarray]:
    """log ratios of the risk between the three steps, by part: (seeds,) each."""
    logs = {step: np.log(curve["risk"][int(np.argmax(curve.steps == step))]) for step in (FIRST, PEAK, SECOND)}
    return {"up": logs[PEAK] - logs[FIRST], "down": logs[SECOND] - logs[PEAK], "both": logs[SECOND] - logs[FIRST]}


def networks(lab: Lab) -> dict[float, NetworkCurve]:
    """The network arm, which is judged beside, by its learning rate."""
    return {
        rate: over_widths(
            data.digits(),
            [256],
            n=500,
            seeds=lab.seeds(quick=3, full=4).scored,
            steps=lab.pick(quick=1_500, full=3_000),
            optimizer=optim.Adam(rate),
            evaluate=40,
            device=lab.device,
            progress=lab.labelled(f"a network over time, rate {rate:g}"),
            workers=lab.workers,
        )
        for rate in RATES[lab.scale]
    }


def of_network(curve: NetworkCurve) -> dict[str, np.ndarray]:
    """How errors change over time, in points, in windows fixed beforehand: (seeds,) each."""
    wrong, step = 100 * curve["wrong"][0], curve.reading.coordinate("step")
    at, early = step / step[-1], (step >= EARLY[0]) & (step <= EARLY[1])
    second, last = ((at > 0.25) & (at <= 0.5)), at > 7 / 8
    return {
        "network, up": wrong[at > 0.5].mean(0) - wrong[early].mean(0),
        "network, no second descent": wrong[last].mean(0) - wrong[second].mean(0),
    }


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Two scales, one scale as the null, and a network."""
    seeds, at = lab.seeds(quick=20, full=20).scored, steps()
    two = over_training(at, seeds=seeds)
    one = over_training(at, variances=(1.0, 1.0), seeds=seeds)
    arms = networks(lab)
    network = arms[RATES[lab.scale][-1]]
    logs, null, beside = changes(two), changes(one), of_network(network)
    marks = [
        Line(at, np.median(curve["risk"], 1), low=curve["risk"].min(1), high=curve["risk"].max(1), label=name)
        for name, curve in (("two scales", two), ("one scale", one))
    ]
    marks.append(Line(at, np.median(two["expected risk"], 1), label="two scales, exact mean over the noise"))
    marks += [ReferenceLine(step, "vertical") for step in (FIRST, PEAK, SECOND)]
    risk = Figure.of("Linear regression", marks, Axis("step", scale="log"), Axis("test risk"))
    figure = Figure.row(
        [risk, *(arm.over_time().with_marks(title=f"A network, rate {rate:g}") for rate, arm in arms.items())],
        title="Test error over training time",
        caption=f"{two.reading.notes[0]} Medians over {len(seeds)} seeds with their range. {network.reading.notes[0]}",
    )
    return lab.finding(
        parts={name: interval.mean(values) for name, values in ({k: logs[k] for k in ("up", "down")} | beside).items()},
        figures=figure,
        readings=(two.reading, network.reading),
        sentences=[
            f"Risk goes from {np.median(two['risk'][at == FIRST]):.2f} at step {FIRST} to "
            f"{np.median(two['risk'][at == PEAK]):.2f} at {PEAK} and {np.median(two['risk'][at == SECOND]):.2f} at "
            f"{SECOND:,}; with one scale the last change is by {np.expm1(null['down'].mean()):+.1%}.",
            *(
                f"At the rate {rate:g} the network errs on {100 * arm.best[0].mean():.1f} % at its best moment and on "
                f"{100 * arm.last[0].mean():.1f} % at the end."
                for rate, arm in arms.items()
            ),
        ],
        numbers={
            "second over first minimum, log": float(logs["both"].mean()),
            "one scale, log ratios": {name: float(values.mean()) for name, values in null.items()},
        },
    )
