"""IMP1: on a linear model descent ends at the solution nearest to its start, and Adam and sign descent elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.figures import Axis, Figure, Line, ReferenceLine, Scatter
from thalweg.generalization.implicit import LimitPoints, limit_points
from thalweg.statistics import POSITIVE, Interval, exponents, interval
from thalweg.studies.implicit.exact import largest
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides

Array = NDArray[np.float64]
RATIO = "distance / norm of the minimum-norm solution"
PROJECTION, SCALE, ADAM, SIGN = "projection of the start", "scale of the start", "Adam", "sign descent"
DETERMINED, LARGE_EPSILON = "as many directions as examples show", "Adam with a large epsilon"
GD = "gradient descent"
IN_THE_SPAN, OUT_OF_IT = (GD, "momentum", "SGD"), (ADAM, SIGN)
CLAIM = Claim(
    id="IMP1",
    statement="On a linear model with more features than examples (60 and 20, Gaussian), gradient descent, with "
    "momentum, and SGD on single examples end at theta_0 + X^+ (y - X theta_0), to 1e-8; from Gaussian starts the "
    "distance to the minimum-norm solution grows as the scale of the start. Adam and sign descent from 0 end more than "
    "a tenth of its norm away from it, at the same zero loss.",
    lecture="All these solutions have zero training loss; SGD prefers the simple one.",
    rule=every_part(),
    unit=RATIO,
    corrected="It is gradients, not noise: every update is a combination of the examples, so that what the start has "
    "beside their span stays, and the limit is the solution nearest to the start. That is the one of minimum norm from "
    "0 alone; Adam and sign descent leave the span. It is the norm that is least, which need not be the error.",
    parts=(
        Part(PROJECTION, "Descent ends at the projection of its start.", less(1e-8), RATIO, bounds=POSITIVE),
        Part(ADAM, "Adam does not end at the minimum norm.", greater(0.1), RATIO, bounds=POSITIVE),
        Part(SIGN, "Sign descent does not, either.", greater(0.1), RATIO, bounds=POSITIVE),
        Part(SCALE, "The distance is proportional to the start.", within(0.95, 1.05), "power of the scale"),
        Part(
            DETERMINED,
            "With 60 examples of 20 features, where one solution fits, every rule ends at it.",
            less(1e-8),
            RATIO,
            decides=False,
            bounds=POSITIVE,
        ),
        Part(
            LARGE_EPSILON,
            "With an epsilon far above all gradients Adam is descent with momentum, and ends where that does.",
            less(1e-5),
            RATIO,
            decides=False,
            bounds=POSITIVE,
        ),
    ),
)
EXAMPLES, FEATURES = 20, 60
SCALES = (0.01, 0.1, 1.0, 10.0)
EPSILON, RATE = 1e6, 5e3  # RATE / EPSILON is below 1 / lambda_max, about 1 / 149
STEPS = 20_000


@dataclass(frozen=True)
class Problems:
    """Inputs (seeds, examples, features), the truth (seeds, features), and targets without noise (seeds, examples)."""

    x: Array
    truth: Array

    @property
    def y(self) -> Array:
        """X b."""
        return (self.x @ self.truth[:, :, None])[:, :, 0]


def problems(seeds: Sequence[int], examples: int = EXAMPLES, features: int = FEATURES) -> Problems:
    """One for each seed."""
    draws = [np.random.default_rng([seed, examples]) for seed in seeds]
    x = np.stack([draw.normal(size=(examples, features)) for draw in draws])
    return Problems(x, np.stack([draw.normal(size=features) for draw in draws]))


@dataclass(frozen=True, eq=False)
class Ends:
    """Where rules ended.

    Args:
        from_zero: all rules from theta_0 = 0.
        from_scales: the rules that stay in the span, from Gaussian starts, by their scale.
    """

    given: Problems
    from_zero: LimitPoints
    from_scales: dict[float, LimitPoints]

    def of(self, rule: str, name: str = "distance to the minimum norm") -> Array:
        """What a rule came to from 0: (seeds,), or where it ended (seeds, features)."""
        return self.from_zero[name][[str(one) for one in self.from_zero.reading.coordinate("rule")].index(rule)]

    @property
    def converged(self) -> bool:
        """Whether all are at zero loss; what is not says nothing of which solution it comes to."""
        return all(bool(one.converged.all()) for one in (self.from_zero, *self.from_scales.values()))


def ends(given: Problems, seeds: Sequence[int], seed: int) -> Ends:
    """Run every rule from 0, and those that stay in the span from Gaussian starts of several scales, too."""
    start = np.stack([np.random.default_rng([one, 1]).normal(size=given.x.shape[2]) for one in seeds])
    return Ends(
        given,
        limit_points(given.x, given.y, steps=STEPS, seed=seed),
        {
            scale: limit_points(given.x, given.y, scale * start, rules=IN_THE_SPAN, steps=STEPS, seed=seed)
            for scale in SCALES
        },
    )


def judged(found: Ends) -> dict[str, Interval]:
    """The parts that decide; all unknown where a rule did not come to zero loss."""
    if not found.converged:
        return dict.fromkeys((PROJECTION, ADAM, SIGN, SCALE), Interval.missing("a rule did not come to zero loss"))
    nearest = [found.of(rule, "distance to the projection") for rule in IN_THE_SPAN]
    nearest += [row for one in found.from_scales.values() for row in one["distance to the projection"]]
    away = np.stack([one["distance to the minimum norm"] for one in found.from_scales.values()])
    slopes = exponents(np.array(SCALES), away.reshape(len(SCALES), -1))
    farthest = float(slopes[np.abs(slopes - 1).argmax()])
    return {
        PROJECTION: largest(nearest, "of all rules, starts and seeds"),
        ADAM: interval.geometric_mean(found.of(ADAM)),
        SIGN: interval.geometric_mean(found.of(SIGN)),
        SCALE: Interval(
            farthest, farthest, farthest, len(slopes), "the farthest from 1 of all rules and seeds, computed"
        ),
    }


def controls(found: Ends, seeds: Sequence[int]) -> tuple[dict[str, Interval], float, float]:
    """Both controls of Adam; and how far rotated coordinates move the limits of gradient descent and of Adam.

    Distances are over the norm of the minimum-norm solution, the last two means over seeds.
    """
    given, full = found.given, problems(seeds, FEATURES, EXAMPLES)
    determined = limit_points(full.x, full.y, steps=STEPS)
    large = limit_points(given.x, given.y, rules=[ADAM], steps=STEPS, rate=RATE, epsilon=EPSILON)
    parts = {}
    for name, one in ((DETERMINED, determined), (LARGE_EPSILON, large)):
        reached = bool(one.converged.all())
        away = one["distance to the minimum norm"]
        parts[name] = largest(away, "of all seeds") if reached else Interval.missing("a rule did not come to zero loss")
    turns = np.stack(
        [np.linalg.qr(np.random.default_rng([seed, 2]).normal(size=(FEATURES, FEATURES)))[0] for seed in seeds]
    )
    turned = limit_points(given.x @ turns, given.y, rules=[GD, ADAM], steps=STEPS)
    back = np.einsum("sij,rsj->rsi", turns, turned["limit"])
    plain = np.stack([found.of(rule, "limit") for rule in (GD, ADAM)])
    moved = np.linalg.norm(back - plain, axis=2) / np.linalg.norm(found.from_zero["minimum norm"], axis=1)
    return parts, float(moved[0].mean()), float(moved[1].mean())


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Run every rule to zero loss, and see which solution it is."""
    seeds = lab.seeds(quick=6, full=20).scored
    given = problems(seeds)
    found = ends(given, seeds, lab.seed)
    beside, moved, moved_adam = controls(found, seeds)
    parts = judged(found) | beside
    rules = (*IN_THE_SPAN, *OUT_OF_IT)
    norms = {rule: float(found.of(rule, "norm").mean()) for rule in rules}
    risks = ((found.from_zero["limit"] - given.truth) ** 2).sum(2).mean(1) / (given.truth**2).sum(1).mean()
    risk = dict(zip(map(str, found.from_zero.reading.coordinate("rule")), map(float, risks), strict=True))
    best = min(risk, key=lambda rule: risk[rule])
    away = {scale: float(one["distance to the minimum norm"].mean()) for scale, one in found.from_scales.items()}
    least, most = SCALES[0], SCALES[-1]
    return lab.finding(
        parts=parts,
        figures=figure(found),
        readings=[
            found.from_zero.reading,
            lab.reading(
                "distance to the minimum norm, from Gaussian starts",
                [one["distance to the minimum norm"] for one in found.from_scales.values()],
                {"scale": SCALES, "rule": IN_THE_SPAN, "seed": seeds},
                unit="norms of the minimum-norm solution",
            ),
        ],
        sentences=[
            f"Gradient descent, momentum and SGD end within {parts[PROJECTION].high:.0e} of the solution nearest to "
            "their start. From 0 that is the one of minimum norm; from Gaussian starts of scale "
            f"{least:g} to {most:g} it is {away[least]:.2g} to {away[most]:.2g} of its norm away, as the power "
            f"{parts[SCALE].estimate:.3f} of the scale.",
            f"From 0, at the same zero loss, Adam ends {parts[ADAM].estimate:.2f} and sign descent "
            f"{parts[SIGN].estimate:.2f} of the minimum norm away, with {norms[ADAM]:.2f} and {norms[SIGN]:.2f} times "
            "the norm.",
            f"Coordinates turned at random move the limit of gradient descent by {moved:.0e} of the norm, and Adam's "
            f"by {moved_adam:.2f}.",
            f"Of all rules {best} has the least risk here, {risk[best]:.2f} of that of predicting 0 against "
            f"{risk[ADAM]:.2f} of Adam, where all coefficients are alike; of other coefficients that says nothing.",
        ],
        numbers={
            "norm / minimum norm": norms,
            "risk / risk of predicting 0": risk,
            "distance, by scale of the start": {f"{scale:g}": value for scale, value in away.items()},
            "what rotated coordinates move": {GD: moved, ADAM: moved_adam},
        },
    )


def figure(found: Ends) -> Figure:
    """Distances to the minimum-norm solution, against the scale of the start."""
    away = np.stack([one["distance to the minimum norm"][0] for one in found.from_scales.values()])
    at = np.repeat(SCALES, away.shape[1])
    rounding = np.finfo(float).eps
    levels = {rule: max(float(np.exp(np.log(found.of(rule) + rounding).mean())), rounding) for rule in OUT_OF_IT}
    span = max(float(found.of(rule).max()) for rule in IN_THE_SPAN)
    marks = [
        Line(np.array(SCALES), away.mean(1)[0] * np.array(SCALES) / SCALES[0], label="slope 1"),
        Scatter(at, away.ravel(), label="gradient descent from Gaussian starts"),
        *(
            Line(np.array(SCALES), np.full(len(SCALES), level), label=f"{rule} from 0")
            for rule, level in levels.items()
        ),
        ReferenceLine(max(span, rounding), label=f"{', '.join(IN_THE_SPAN)} from 0, at most"),
    ]
    return Figure.of(
        "Which solution of zero loss descent ends at",
        marks,
        Axis("scale of the start", scale="log"),
        Axis("distance / minimum norm", scale="log"),
        caption=f"{EXAMPLES} examples, {FEATURES} features; one dot a seed; every run ends at zero loss.",
    )
