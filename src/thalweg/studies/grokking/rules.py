"""What is said to hasten grokking or to prevent it, each at its own best rate: shown beside GRK1, and not scored."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from thalweg import data, nets, sweep
from thalweg.figures import Axis, Bars, Figure, Line, ReferenceLine
from thalweg.generalization import grokking
from thalweg.generalization.grokking import Arm
from thalweg.population import Problem
from thalweg.studies.grokking.setting import SMALL, WIDTH, evaluations
from thalweg.studies.lab import Lab
from thalweg.training import Recipe, Run

RATES, STEPS = (0.02, 0.08, 0.32), 700  # on seeds 500 and up the best of AdamW is the one in the middle


@dataclass(frozen=True, eq=False)
class Tuned:
    """An arm at its best rate: when networks memorize and generalize there."""

    rate: float
    times: grokking.Times

    @property
    def never(self) -> str:
        """How many did not generalize."""
        came = np.isfinite(self.times["generalized"])
        return f"{int((~came).sum())} of {len(came)} never"

    def bar(self, name: str) -> tuple[str, float]:
        """The label and the height of its bar: T_grok, or the last step where none came there, marked by >."""
        step = self.times.typical["T_grok"]
        known = bool(np.isfinite(step))
        return f"{name}{'' if known else f' > {STEPS}'}: {self.never}", step if known else float(STEPS)


def trained(lab: Lab, arm: Arm, seeds: list[int], label: str) -> Run:
    """Networks on one table, that of the first seed."""
    table = data.modular(SMALL.p, train_fraction=SMALL.fraction, seed=seeds[0], encoding="tokens")
    problem = Problem(partial(nets.modular_mlp, SMALL.p, WIDTH), table, arm.loss, device=lab.device)
    return lab.train(problem, Recipe(arm.optimizer, STEPS, evaluate=evaluations(STEPS)), seeds, label)


def best(generalized: np.ndarray, last: np.ndarray) -> int:
    """Which rate generalizes first, and where none does has the highest last accuracy: of (rates,) each."""
    return int(np.lexsort((-last, generalized))[0])


def tuned(lab: Lab) -> dict[str, Tuned]:
    """Choose the rate of each arm on one seed, and train others at that rate."""
    seeds, found = lab.seeds(quick=2, full=2, shared_tuning=1), {}
    for name, swept in grokking.arms(sweep.values(RATES), SMALL.decay).items():
        first = grokking.times(trained(lab, swept, seeds.shared_tuning, f"{name}, rates"))
        rate = RATES[best(first["generalized"], first["test"][-1])]
        arm = grokking.arms(rate, SMALL.decay)[name]
        found[name] = Tuned(rate, grokking.times(trained(lab, arm, seeds.scored, f"{name}, rate {rate:g}")))
    return found


def figure(lab: Lab) -> Figure:
    """Test accuracy of every arm over the logarithm of the step, and T_grok with how many never came there.

    An arm that never came there takes longer than all others, and not 0 steps: its bar goes to the last step, marked.
    """
    arms = tuned(lab)
    some = next(iter(arms.values())).times
    steps = some.reading.coordinate("step").astype(float)
    lines = [Line(steps[1:], one.times["test"][1:].mean(1), label=name) for name, one in arms.items()]
    heights = dict(one.bar(name) for name, one in arms.items())
    bars = Bars(list(heights), np.array(list(heights.values())))
    last = ReferenceLine(STEPS, "horizontal", label="last step")
    rates = ", ".join(f"{name} {one.rate:g}" for name, one in arms.items())
    return Figure.row(
        [
            Figure.of(
                "Held-out accuracy",
                [*lines, ReferenceLine(1 / SMALL.p)],
                Axis("step", scale="log"),
                Axis("accuracy", limits=(-0.02, 1.2)),
            ),
            Figure.of("T_grok", [bars, last], Axis(""), Axis("step")),
        ],
        title="What is said to hasten grokking, or to prevent it",
        caption=f"{SMALL.text.split(', lr')[0]}, decay {SMALL.decay:g} where there is any, {STEPS} steps, means over "
        f"{some['test'].shape[1]} networks; shown, not judged. T_grok is of those that came there; a bar up to the "
        "last step, with >, is of an arm none of which did. Rates are the best of "
        f"{', '.join(f'{rate:g}' for rate in RATES)} on another seed: {rates}. Norms are frozen from the first step "
        "here, where they are too small to memorize; GRK3 freezes them at T_mem. Dashed is chance.",
    )
