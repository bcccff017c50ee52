"""OPT7: whether decoupled decay generalizes better, each rule tuned on its own grid."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from thalweg import sweep
from thalweg.data import Data, Examples, mnist1d
from thalweg.nets import mlp
from thalweg.optim import Adam, AdamW, Rule
from thalweg.population import Problem
from thalweg.results import Axis, Figure, HeatMap, Line, Scatter
from thalweg.schedules import Cosine
from thalweg.studies import interval
from thalweg.studies.claim import Claim, greater
from thalweg.studies.optimizers.record import reading
from thalweg.studies.optimizers.seeds import labelled, tuning_and_scored
from thalweg.studies.study import Context, Finding
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


def halves(context: Context) -> tuple[Problem, Problem]:
    """The problem with one half of the test set to tune on, and with the other to score on."""
    data = mnist1d()
    assert isinstance(data.test, Examples)
    middle = len(data.test) // 2
    parts = (torch.arange(middle), torch.arange(middle, len(data.test)))
    first, second = (Data(data.train, data.test.select(rows), data.name, data.classes) for rows in parts)
    model = lambda: mlp(40, 100, 100, 10)  # noqa: E731
    return Problem(model, first, device=context.device), Problem(model, second, device=context.device)


def accuracy(context: Context, problem: Problem, rule: Rule, steps: int, seeds: list[int], label: str) -> Array:
    """Test accuracy at the end of a cosine schedule: (configurations, seeds); 0 where it diverged."""
    recipe = Recipe(rule, steps, BATCH, Cosine(warmup=steps // 20), evaluate=0, evaluate_train_on=64)
    run = train(problem, recipe, seeds, watch=labelled(context, label))
    return np.nan_to_num(run.history.final("test_accuracy")).reshape(-1, len(seeds))


def decide(context: Context) -> Iterator[Finding]:
    """The finding on OPT7."""
    tuning, scored = tuning_and_scored(context, context.pick(quick=2, full=3), context.pick(quick=8, full=40))
    steps = context.pick(quick=250, full=1500)
    validation, held_out = halves(context)
    errors, maps, chosen, edges = {}, {}, {}, []
    for name, (rule, grids) in GRIDS.items():
        decays = grids[context.scale]
        grid = rule(lr=sweep.values(RATES), weight_decay=sweep.values(decays))
        tuned = accuracy(context, validation, grid, steps, tuning, f"OPT7, tuning {name}").mean(1)
        tuned = tuned.reshape(len(RATES), len(decays))
        best = np.unravel_index(tuned.argmax(), tuned.shape)
        lr, decay = RATES[best[0]], decays[best[1]]
        chosen[name] = {"lr": lr, "weight_decay": decay, "validation accuracy": float(tuned.max())}
        if best[0] in (0, len(RATES) - 1) or best[1] in (0, len(decays) - 1):
            edges.append(name)
        final = accuracy(context, held_out, rule(lr=lr, weight_decay=decay), steps, scored, f"OPT7, scoring {name}")
        errors[name] = 100 * (1 - final[0])
        maps[name] = tuned
    verdict = CLAIM.judge(
        interval.difference(errors["Adam + L2"], errors["AdamW"]),
        numbers={
            "chosen": chosen,
            "test error in %": {name: float(values.mean()) for name, values in errors.items()},
            "best value on the edge of its grid": edges or "none",
        },
    )
    both = np.concatenate(list(errors.values()))
    ends = np.array([both.min(), both.max()])
    pairs = Figure(
        "Test error with the same seed",
        (
            Line(ends, ends, label="equal"),
            Scatter(errors["Adam + L2"], errors["AdamW"], label="one seed"),
        ),
        x=Axis("Adam + L2", "% of the held-out half"),
        y=Axis("AdamW", "% of the held-out half"),
        caption=f"{len(scored)} seeds apart from those tuned on; below the line AdamW is better.",
    )
    shared = (min(map(np.min, maps.values())), max(map(np.max, maps.values())))
    panels = [
        Figure(
            name,
            (HeatMap(np.log10(GRIDS[name][1][context.scale]), np.log10(RATES), tuned, label="validation accuracy"),),
            x=Axis("log10 weight decay"),
            y=Axis("log10 learning rate"),
            z=Axis("validation accuracy", limits=shared),
        )
        for name, tuned in maps.items()
    ]
    yield Finding(
        verdict,
        figures=(
            Figure.row(
                panels,
                title="Validation accuracy over rate and decay",
                caption=f"MNIST-1D, {steps} steps, mean of {len(tuning)} tuning seeds.",
            ),
            pairs,
        ),
        readings=(
            reading(
                context, "test error", np.stack(list(errors.values())), {"rule": list(errors), "seed": scored}, unit="%"
            ),
        ),
        sentences=(
            f"Tuned alike, Adam + L2 misses {errors['Adam + L2'].mean():.2f} % of the held-out half and AdamW "
            f"{errors['AdamW'].mean():.2f} %, over {len(scored)} seeds.",
            *(
                f"The best setting of {name} lies on the edge of its grid: a wider one could be better."
                for name in edges
            ),
        ),
    )
