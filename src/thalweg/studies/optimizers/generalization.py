"""OPT7: whether decoupled decay generalizes better, each rule tuned on its own grid."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.claims import Claim, Finding, greater
from thalweg.data import Data, Examples, mnist1d
from thalweg.evaluation import Sample
from thalweg.evaluation.evaluate import Evaluator
from thalweg.figures import Axis, Figure, HeatMap, Line, Scatter
from thalweg.nets import mlp
from thalweg.optim import Adam, AdamW, Rule
from thalweg.population import Problem
from thalweg.schedules import Cosine
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.readings import on_edge, reading
from thalweg.studies.seeds import labelled, tuning_and_scored
from thalweg.training import Recipe, train

Array = NDArray[np.float64]
CLAIM = Claim(
    id="OPT7",
    statement="AdamW has a lower test error than Adam with L2, each tuned over rate and decay on an equal budget.",
    lecture="AdamW: better generalization, proper regularization.",
    rule=greater(0, worth=0.2),
    unit="percentage points of test error, Adam + L2 minus AdamW",
)
BATCH = 128
# From next to no decay to too much, in each rule's own units. Without decay the two are the same rule.
GRIDS: dict[str, tuple[type[Adam], dict[str, list[float]]]] = {
    "AdamW": (AdamW, {"quick": [0.01, 0.1, 1, 3], "full": [0.01, 0.03, 0.1, 0.3, 1, 3]}),
    "Adam + L2": (Adam, {"quick": [1e-5, 1e-4, 1e-3, 1e-2], "full": [1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]}),
}
RATES = [3e-3, 1e-2, 3e-2, 1e-1]


def halves(lab: Lab) -> tuple[Problem, Problem]:
    """The problem with one half of the test set to tune on, and with the other to score on."""
    data = mnist1d()
    assert isinstance(data.test, Examples)
    middle = len(data.test) // 2
    parts = (torch.arange(middle), torch.arange(middle, len(data.test)))
    first, second = (Data(data.train, data.test.select(rows), data.name, data.classes) for rows in parts)
    model = lambda: mlp(40, 100, 100, 10)  # noqa: E731
    return Problem(model, first, device=lab.device), Problem(model, second, device=lab.device)


def errors(lab: Lab, problem: Problem, rule: Rule, steps: int, seeds: list[int], label: str) -> Array:
    """Whether each test example is missed at the end of a cosine schedule: (configurations, seeds, examples).

    A run that diverged misses all.
    """
    recipe = Recipe(rule, steps, BATCH, Cosine(warmup=steps // 20), evaluate=0, evaluate_train_on=Sample("train", 64))
    run = train(problem, recipe, seeds, progress=labelled(lab, label))
    assert isinstance(problem.data.test, Examples)
    right = Evaluator(problem, run.final, problem.data.test).by_example()["accuracy"].numpy()
    right[run.diverged_at >= 0] = 0
    return 1 - right.reshape(-1, len(seeds), right.shape[1])


@dataclass(frozen=True)
class Chosen:
    """A rule's best setting on the tuning seeds: its error there, and where on the grid it lies."""

    lr: float
    weight_decay: float
    error: float
    lr_edge: bool
    decay_edge: bool
    least_decay: bool


def best(tuned: Array, decays: list[float]) -> Chosen:
    """The setting of least error in a table (rates, decays)."""
    row, column = np.unravel_index(tuned.argmin(), tuned.shape)
    lr, decay = RATES[row], decays[column]
    edges = on_edge(lr, RATES), on_edge(decay, decays)
    return Chosen(lr, decay, float(tuned.min()), *edges, least_decay=decay == decays[0])


def warnings(chosen: Mapping[str, Chosen]) -> Iterator[str]:
    """A sentence for each setting on an edge of its grid, with what lies beyond."""
    for name, setting in chosen.items():
        for quantity, value, edge in (
            ("rate", setting.lr, setting.lr_edge),
            ("decay", setting.weight_decay, setting.decay_edge),
        ):
            if edge:
                lowest = setting.least_decay if quantity == "decay" else value == RATES[0]
                side = "smallest" if lowest else "largest"
                yield f"{name} does best with the {side} {quantity} tried, {value:g}: one beyond could be better."
    if all(setting.least_decay for setting in chosen.values()):
        yield "Both do best with next to no decay, where they are nearly the same rule: the comparison says little."


def decide(lab: Lab) -> Iterator[Finding]:
    """The finding on OPT7."""
    tuning, scored = tuning_and_scored(lab, lab.pick(quick=2, full=3), lab.pick(quick=8, full=40))
    steps = lab.pick(quick=250, full=1500)
    validation, held_out = halves(lab)
    missed, maps, chosen = {}, {}, {}
    for name, (rule, grids) in GRIDS.items():
        decays = grids[lab.scale]
        grid = rule(lr=sweep.values(RATES), weight_decay=sweep.values(decays))
        tuned = errors(lab, validation, grid, steps, tuning, f"OPT7, tuning {name}").mean((1, 2))
        maps[name] = tuned.reshape(len(RATES), len(decays))
        pick = chosen[name] = best(maps[name], decays)
        setting = rule(lr=pick.lr, weight_decay=pick.weight_decay)
        missed[name] = 100 * errors(lab, held_out, setting, steps, scored, f"OPT7, scoring {name}")[0]
    by_seed = {name: table.mean(1) for name, table in missed.items()}
    # Other seeds and other test examples would give another difference: both are samples.
    gap = missed["Adam + L2"] - missed["AdamW"]
    seeds_alone = interval.difference(by_seed["Adam + L2"], by_seed["AdamW"])
    verdict = CLAIM.judge(
        interval.crossed(gap),
        numbers={
            "chosen": {name: {"lr": pick.lr, "weight_decay": pick.weight_decay} for name, pick in chosen.items()},
            "validation error in %": {name: 100 * pick.error for name, pick in chosen.items()},
            "test error in %": {name: float(values.mean()) for name, values in by_seed.items()},
            "difference on these very examples, 95 % interval over seeds": [seeds_alone.low, seeds_alone.high],
        },
    )
    both = np.concatenate(list(by_seed.values()))
    ends = np.array([both.min(), both.max()])
    pairs = Figure.of(
        "Test error with the same seed",
        (
            Line(ends, ends, label="equal"),
            Scatter(by_seed["Adam + L2"], by_seed["AdamW"], label="one seed"),
        ),
        x=Axis("Adam + L2", "% of the held-out half"),
        y=Axis("AdamW", "% of the held-out half"),
        caption=f"{len(scored)} seeds apart from those tuned on; below the line AdamW is better.",
    )
    shared = (100 * min(map(np.min, maps.values())), 100 * max(map(np.max, maps.values())))
    panels = [
        Figure.of(
            name,
            (HeatMap(np.log10(GRIDS[name][1][lab.scale]), np.log10(RATES), 100 * tuned, label="validation error"),),
            x=Axis("log10 weight decay"),
            y=Axis("log10 learning rate"),
            z=Axis("validation error", "%", limits=shared),
        )
        for name, tuned in maps.items()
    ]
    yield Finding(
        verdict,
        figures=(
            Figure.row(
                panels,
                title="Validation error over rate and decay",
                caption=f"MNIST-1D, {steps} steps, mean of {len(tuning)} tuning seeds.",
            ),
            pairs,
        ),
        readings=(
            reading(
                lab,
                "test error",
                np.stack(list(by_seed.values())),
                {"rule": list(by_seed), "seed": scored},
                unit="%",
            ),
        ),
        sentences=(
            f"Tuned alike, Adam + L2 misses {by_seed['Adam + L2'].mean():.2f} % of the held-out half and AdamW "
            f"{by_seed['AdamW'].mean():.2f} %, over {len(scored)} seeds and {gap.shape[1]} examples.",
            *warnings(chosen),
        ),
    )
