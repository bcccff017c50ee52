"""Networks of every width as NTK2 to NTK4 see them, with powers of the width that are put in by hand."""

import numpy as np

from thalweg.claims import Claim, Outcome
from thalweg.statistics import Interval
from thalweg.studies.ntk.initialization import READINGS
from thalweg.studies.ntk.subsets import Sets
from thalweg.studies.ntk.wide import ARMS, Trained, Wide

WIDTHS, SEEDS, STEPS = (64, 256, 1_024), list(range(900, 908)), [0, 1, 60]
TRUE = {
    "tanh": {"distance": -0.5, "drift": -1.0, "moved": -0.5, "own": -0.9},
    "ReLU": {"distance": -0.5, "drift": -0.75, "moved": -0.5, "own": -0.75},
    "mean field": {"distance": -0.5, "drift": 0.0, "moved": 0.0, "own": -0.2},
}


def wide(at_widest: float = 0.01, **changed: dict[str, float]) -> Wide:
    """What has the powers that the claims state, with a tenth of noise, but for those changed of the arms by name.

    Args:
        at_widest: the error of the closed form there, with the own kernel.
        changed: powers of "tanh" or "ReLU", by the name of the quantity.
    """
    draw = np.random.default_rng(0)
    powers = {arm: of | changed.get(arm, {}) for arm, of in TRUE.items()}

    def values(level: float, power: float, width: int) -> np.ndarray:
        return level * (width / WIDTHS[-1]) ** power * np.exp(0.1 * draw.standard_normal(len(SEEDS)))

    def trained(arm: str, width: int) -> Trained:
        power = powers[arm]
        wrong = {name: values(0.2, 0.0, width) for name in ("NNGP", *READINGS)}
        away = {"analytic": values(0.05, power["distance"], width), "NNGP": wrong["NNGP"]}
        own = values(at_widest if arm != "mean field" else 0.15, power["own"], width)
        return Trained(
            distances=away | dict.fromkeys(READINGS, 3 * wrong["NNGP"]),
            drift=values(1.2 if arm == "mean field" else 0.01, power["drift"], width),
            moved=values(0.06, power["moved"], width),
            loss=values(1e-4, 0.0, width),
            errors={"own": own, "analytic": values(0.06, -0.5, width), **wrong},
            steps=STEPS,
            answers=np.zeros((len(STEPS), 3)),
            closed=np.zeros((len(STEPS), 3)),
        )

    found = {arm: [trained(arm, width) for width in WIDTHS] for arm in ARMS}
    return Wide(Sets.of(SEEDS), dict.fromkeys(ARMS, WIDTHS), STEPS[-1], {}, found)


def outcome(claim: Claim, part: str, interval: Interval) -> Outcome:
    """What the rule of one part says of an interval."""
    rule = next(one.rule for one in claim.parts if one.id == part)
    return rule.judge(interval.low, interval.high)
