"""OPT7: whether decoupled decay generalizes better, each rule tuned on its own grid."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.claims import Claim, Finding, greater
from thalweg.data import Data, Examples, mnist1d
from thalweg.evaluation import Sample, by_example
from thalweg.figures import Axis, Figure, HeatMap, Line, Scatter
from thalweg.nets import mlp
from thalweg.optim import Adam, AdamW, Rule
from thalweg.population import Problem
from thalweg.schedules import Cosine
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe
from thalweg.tuning import on_edge

Array = NDArray[np.float64]
CLAIM = Claim(
    id="OPT7",
    statement="AdamW has a lower test error than Adam with L2, each tuned over rate and decay on an equal budget.",
    lecture="AdamW: better generalization, proper regularization.",
    rule=greater(0, worth=0.2),
    unit="percentage points of test error, Adam + L2 minus AdamW",
    budget={"steps": 1_500},  # after 250 the difference is clear in neither direction
)
BATCH = 128
# From next to no decay to too much, in each rule's own units. Without decay the two are the same rule.
GRIDS: dict[str, tuple[Callable[..., Rule], dict[str, list[float]]]] = {
    "AdamW": (AdamW, {"quick": [0.01, 0.1, 1, 3], "full": [0.01, 0.03, 0.1, 0.3, 1, 3]}),
    "Adam + L2": (Adam, {"quick": [1e-5, 1e-4, 1e-3, 1e-2], "full": [1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]}),
}
RATES = [3e-3, 1e-2, 3e-2, 1e-1]
STEPS = {"quick": 250, "full": 1500}


def halves(lab: Lab) -> tuple[Problem, Problem]:
    """The problem with one half of the test set to tune on, and with the other to score on."""
    data = mnist1d()
    assert isinstance(data.test, Examples)
    parts = torch.arange(len(data.test)).chunk(2)
    sets = [Data(data.train, data.test.select(rows), data.name, data.classes) for rows in parts]
    first, second = (Problem(lambda: mlp(40, 100, 100, 10), half, device=lab.device) for half in sets)
    return first, second


def errors(lab: Lab, problem: Problem, rule: Rule, steps: int, seeds: list[int], label: str) -> Array:
    """Whether each test example is missed in the end, all by a run that diverged: (configurations, seeds, examples)."""
    recipe = Recipe(rule, steps, BATCH, Cosine(warmup=steps // 20), evaluate=0, evaluate_train_on=Sample("train", 64))
    run = lab.train(problem, recipe, seeds, label)
    right = by_example(problem, run.final, on="test")["accuracy"].numpy()
    right[run.diverged_at >= 0] = 0
    return 1 - right.reshape(-1, len(seeds), right.shape[1])


def best(tuned: Array, decays: list[float]) -> dict[str, float]:
    """The setting of least error in a table (rates, decays)."""
    row, column = np.unravel_index(tuned.argmin(), tuned.shape)
    return {"lr": RATES[row], "weight_decay": decays[column]}


def warnings(chosen: Mapping[str, Mapping[str, float]], decays: Mapping[str, list[float]]) -> Iterator[str]:
    """A sentence for each setting on an edge of its grid, with what lies beyond."""
    for name, setting in chosen.items():
        for word, value, tried in (("rate", setting["lr"], RATES), ("decay", setting["weight_decay"], decays[name])):
            if on_edge(value, tried):
                side = "smallest" if value == tried[0] else "largest"
                yield f"{name} does best with the {side} {word} tried, {value:g}: one beyond could be better."
    if all(setting["weight_decay"] == decays[name][0] for name, setting in chosen.items()):
        yield "Both do best with next to no decay, where they are nearly the same rule: the comparison says little."


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Each rule tuned over its grid on some seeds and half the test set, and scored on others and the other half."""
    seeds, steps = lab.seeds(quick=8, full=40, shared_tuning=lab.pick(quick=2, full=3)), lab.pick(**STEPS)
    validation, held_out = halves(lab)
    decays = {name: tried[lab.scale] for name, (_, tried) in GRIDS.items()}
    missed, maps, chosen = {}, {}, {}
    for name, (rule, _) in GRIDS.items():
        grid = rule(lr=sweep.values(RATES), weight_decay=sweep.values(decays[name]))
        tuned = errors(lab, validation, grid, steps, seeds.shared_tuning, f"tuning {name}").mean((1, 2))
        maps[name] = 100 * tuned.reshape(len(RATES), -1)
        chosen[name] = best(maps[name], decays[name])
        missed[name] = 100 * errors(lab, held_out, rule(**chosen[name]), steps, seeds.scored, f"scoring {name}")[0]
    # Other seeds and other test examples would give another difference: both are samples.
    gap = missed["Adam + L2"] - missed["AdamW"]
    by_seed = {name: table.mean(1) for name, table in missed.items()}
    test_error = {name: float(values.mean()) for name, values in by_seed.items()}
    seeds_alone = interval.difference(by_seed["Adam + L2"], by_seed["AdamW"])
    ends = np.array([np.min(list(by_seed.values())), np.max(list(by_seed.values()))])
    pairs = Figure.of(
        "Test error with the same seed",
        (Line(ends, ends, label="equal"), Scatter(by_seed["Adam + L2"], by_seed["AdamW"], label="one seed")),
        x=Axis("Adam + L2", "% of the held-out half"),
        y=Axis("AdamW", "% of the held-out half"),
        caption=f"{len(seeds)} seeds apart from those tuned on; below the line AdamW is better.",
    )
    shared = min(map(np.min, maps.values())), max(map(np.max, maps.values()))
    panels = [
        Figure.of(
            name,
            (HeatMap(np.log10(decays[name]), np.log10(RATES), tuned, label="validation error"),),
            x=Axis("log10 weight decay"),
            y=Axis("log10 learning rate"),
            z=Axis("validation error", "%", limits=shared),
        )
        for name, tuned in maps.items()
    ]
    tuning = Figure.row(
        panels,
        title="Validation error over rate and decay",
        caption=f"MNIST-1D, {steps} steps, mean of {len(seeds.shared_tuning)} tuning seeds.",
    )
    coordinates = {"rule": list(by_seed), "seed": seeds.scored}
    reading = lab.reading("test error", list(by_seed.values()), coordinates, unit="%")
    return lab.finding(
        interval.crossed(gap),
        figures=(tuning, pairs),
        readings=reading,
        ran={"steps": steps},
        numbers={
            "chosen": chosen,
            "validation error in %": {name: float(tuned.min()) for name, tuned in maps.items()},
            "test error in %": test_error,
            "difference on these very examples, 95 % interval over seeds": [seeds_alone.low, seeds_alone.high],
        },
        sentences=(
            f"Tuned alike, Adam + L2 misses {test_error['Adam + L2']:.2f} % of the held-out half and AdamW "
            f"{test_error['AdamW']:.2f} %, over {len(seeds)} seeds and {gap.shape[1]} examples.",
            *warnings(chosen, decays),
        ),
    )
