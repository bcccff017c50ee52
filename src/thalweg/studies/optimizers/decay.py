"""OPT6: what weight decay does to a parameter, against the scale of its gradient.

Every parameter gets gradient noise of its own scale s and nothing else, with and without decay on the same
noise. Adam divides whatever enters its moments by the gradient's scale, so L2 decay shrinks a parameter at a rate
proportional to 1 / s; decoupled decay shrinks all alike. That is so where s exceeds the decay's own gradient, lambda
|theta|: below, what Adam divides by is that gradient, and the rate stops growing.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.claims import Claim, Finding, Part, every_part, within
from thalweg.figures import Axis, Figure, Line, Scatter
from thalweg.optim import Adam, AdamW, Rule, follow
from thalweg.randomness import generator
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides

Array = NDArray[np.float64]
UNIT = "slope of log shrink rate against log gradient scale"
CLAIM = Claim(
    id="OPT6",
    statement="Under random gradients that exceed lambda |theta|, L2 decay inside Adam shrinks a parameter in inverse "
    "proportion to its gradient's scale; decoupled decay (AdamW) shrinks all alike.",
    lecture="Adam + L2 couples the decay with the adaptive rate, which is wrong; AdamW applies it after the step.",
    rule=every_part(),
    unit=UNIT,
    corrected="The lecture's formula labelled 'decoupled', theta - alpha (gradient + lambda theta), is the coupled "
    "one; and its AdamW line has no rate in front of lambda: libraries use lr x lambda, a thousand times weaker.",
    budget={"steps": 50},
    parts=(
        Part(
            "L2",
            "With L2 the slope is -1.",
            within(-1.1, -0.9),
            "slope of log shrink rate against log scale, Adam + L2",
        ),
        Part(
            "decoupled", "Decoupled, it is 0.", within(-0.1, 0.1), "slope of log shrink rate against log scale, AdamW"
        ),
    ),
)
LR, L2, DECOUPLED = 1e-3, 1e-3, 0.1
SCALES = np.logspace(-5, 4, 37)
EXCEEDING = SCALES > 9 * L2  # L2 x theta, which starts at 1: there the prediction is made
COPIES = 16  # parameters of each scale, whose median is taken
USUAL = 0.01  # a weight decay often seen in recipes
LATE = 0.1  # what a schedule has left of the rate
RULES: dict[str, Rule] = {
    "Adam + L2": Adam(LR, weight_decay=L2),
    "AdamW, lr-coupled": AdamW(LR, weight_decay=DECOUPLED),
    "AdamW, schedule-coupled": AdamW(LR, weight_decay=DECOUPLED * LR, decay="schedule_coupled"),
    "AdamW, constant": AdamW(LR, weight_decay=DECOUPLED * LR, decay="constant"),
}
STEPS = {"quick": 200, "full": 1000}


def shrink_rates(rule: Rule, steps: int, seeds: list[int], multiplier: float = 1.0) -> Array:
    """The part of theta lost to decay at each step, while a schedule stands at `multiplier`: (seeds, scales).

    It is the difference between a parameter with and without decay under the same noise.
    """
    own = rule.hyper_parameters()
    decays = torch.tensor([[0.0], [float(own["weight_decay"])]], dtype=torch.float64).repeat(len(seeds), 1)
    scale = torch.as_tensor(SCALES).repeat_interleave(COPIES)
    streams = [generator(seed, "gradient noise") for seed in seeds]

    def noise(theta: Tensor) -> Tensor:
        drawn = [torch.randn(theta.shape[1], generator=stream, dtype=theta.dtype) for stream in streams]
        return (scale * torch.stack(drawn)).repeat_interleave(2, dim=0)

    start = torch.ones(2 * len(seeds), len(scale), dtype=torch.float64)
    numbers = {"lr": float(own["lr"]) * multiplier, "weight_decay": decays, "schedule": multiplier}
    theta = follow(rule, noise, start, steps, numbers=numbers)[-1]
    without, decayed = theta[0::2], theta[1::2]
    lost = ((without - decayed) / without.abs().clamp_min(0.1)).view(len(seeds), len(SCALES), COPIES)
    return lost.median(dim=2).values.numpy() / steps


def exponents(rates: Array) -> Array:
    """The exponent of the scale in the rate, by a straight line where the scale exceeds L2 x theta: (seeds,)."""
    return np.polyfit(np.log10(SCALES[EXCEEDING]), np.log10(np.abs(rates[:, EXCEEDING])).T, 1)[0]


def halving_steps(lost_per_step: float) -> float:
    """Steps after which half of a parameter is gone."""
    return float(np.log(0.5) / np.log1p(-lost_per_step))


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Every convention at the peak of the rate, and at what a schedule leaves of it."""
    seeds, steps = lab.seeds(quick=6, full=12), lab.pick(**STEPS)
    rates, later = (
        {name: shrink_rates(rule, steps, seeds.scored, share) for name, rule in RULES.items()} for share in (1.0, LATE)
    )
    coupled, decoupled = exponents(rates["Adam + L2"]), exponents(rates["AdamW, lr-coupled"])
    follows = {name: float(np.median(later[name] / rates[name])) for name in RULES}
    small = float(np.median(rates["Adam + L2"][:, 0]))
    halving = {"lr-coupled": halving_steps(LR * USUAL), "constant": halving_steps(USUAL)}
    return lab.finding(
        parts={"L2": interval.mean(coupled), "decoupled": interval.mean(decoupled)},
        ran={"steps": steps},
        figures=Figure.row(
            [_panel("Rate at its peak", rates, 1.0), _panel(f"Rate fallen to {LATE:g} of it", later, LATE)],
            title="How fast weight decay shrinks a parameter",
            caption=f"Pure gradient noise, {steps} steps, {len(seeds)} seeds; bars are standard deviations. AdamW's "
            "three conventions are set to be equal at the peak.",
        ),
        readings=lab.reading(
            "part of the parameter lost a step",
            [list(rates.values()), list(later.values())],
            {"multiplier of the rate": [1.0, LATE], "rule": list(RULES), "seed": seeds.scored, "scale": SCALES},
        ),
        numbers={
            "slope": {name: float(exponents(rate).mean()) for name, rate in rates.items()},
            f"decay once a schedule has fallen to {LATE:g}, relative to before": follows,
            f"steps to lose half with lambda = {USUAL:g}, lr = {LR:g}": halving,
        },
        sentences=(
            f"Log shrink rate against log gradient scale has slope {coupled.mean():.3f} for Adam + L2 "
            f"(predicted -1) and {abs(decoupled.mean()):.3f} in absolute value for AdamW (predicted 0), at scales of "
            f"at least {SCALES[EXCEEDING][0] / L2:.0f} times lambda theta.",
            f"Far below, L2 shrinks a parameter less than that: at a scale of {SCALES[0] / L2:g} times lambda theta by "
            f"{small:.2g} of it a step, where 1 / s would give {LR * L2 / SCALES[0]:.2g}.",
            f"When a schedule has brought the rate down to {LATE:g} of its peak, decay falls with it to "
            f"{', '.join(f'{share:.2g} ({name})' for name, share in follows.items())} of what it was.",
            f"With lambda = {USUAL:g} and lr = {LR:g} half of a parameter is lost in {halving['lr-coupled']:,.0f} "
            f"steps where libraries multiply lambda by the rate, and in {halving['constant']:.0f} as the lecture "
            "writes it.",
        ),
    )


def _panel(title: str, rates: Mapping[str, Array], multiplier: float) -> Figure:
    """Measured decay over its prediction, which for L2 is made where the scale exceeds L2 x theta."""
    large = SCALES[EXCEEDING]
    return Figure.of(
        title,
        (
            Line(large, multiplier * LR * L2 / large, label="predicted, L2: lr lambda / s"),
            Line(SCALES, multiplier * LR * DECOUPLED * SCALES**0, label="predicted, decoupled: lr lambda"),
            *(Scatter(SCALES, rate.mean(0), error=rate.std(0), label=name) for name, rate in rates.items()),
        ),
        x=Axis("scale s of the parameter's gradient", scale="log"),
        y=Axis("part lost a step", scale="log"),
    )
