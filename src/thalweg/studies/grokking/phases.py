"""GRK2: what is there at memorization, and what is cleaned up before generalization."""

from collections.abc import Sequence

import numpy as np
import torch

from thalweg.claims import Claim, Finding, Part, every_part, greater
from thalweg.evaluation import evaluate
from thalweg.figures import Axis, Figure, Line, ReferenceLine
from thalweg.generalization import grokking
from thalweg.randomness import generator
from thalweg.results import spread
from thalweg.statistics import SHARE, interval
from thalweg.studies.grokking import late
from thalweg.studies.grokking.setting import (
    EARLY,
    KEPT,
    WIDTH,
    Array,
    Shared,
    Trained,
    by_setting,
    mean_known,
    share_in_each,
    weakest,
    why_as_many,
)
from thalweg.studies.lab import Lab

MEMORIZED, THERE, BEFORE = "memorized only", "structure at memorization", "concentration before the jump"
CLAIM = Claim(
    id="GRK2",
    statement="Structure of one frequency a neuron is there when the training set is memorized, and concentrates "
    "before held-out accuracy rises.",
    lecture="First it memorizes with a complex pattern, then it simplifies its representation, then the simple "
    "pattern generalizes.",
    rule=every_part(),
    unit="shares, see the parts",
    corrected="The simple pattern is there at memorization, beside what memorizes; later phases clean up. The norm of "
    "the weights does not fall first: it grows through the jump.",
    parts=(
        Part(
            MEMORIZED,
            "At T_mem most networks of each setting are right on less than 5 % of held-out pairs.",
            greater(0.5),
            "share of networks, the setting with the least",
            bounds=SHARE,
        ),
        Part(
            THERE,
            "At T_mem the network reduced to one frequency a neuron is right on more than half of them.",
            greater(0.5),
            "accuracy",
            bounds=SHARE,
        ),
        Part(
            BEFORE,
            "More than a fifth of the rise of the inverse participation ratio since T_mem takes place while accuracy "
            "is below 10 %.",
            greater(0.2),
            "share of the rise",
        ),
    ),
)
STEPS = (1, 2, 5, 10, 20, 30, 40, 60, 80)  # and every fortieth from 100 on
TITLES = {
    "accuracy": ("Held-out accuracy", "accuracy"),
    "projected": ("Reduced to one frequency a neuron", "accuracy"),
    "concentration": ("Concentration of neurons", "inverse participation ratio"),
    "norm": ("Norm of the weights", "norm"),
}


def looked_at(run: Trained) -> list[int]:
    """The snapshots that are looked at."""
    return [*STEPS, *range(EARLY, run.setting.steps + 1, KEPT)]


def along(run: Trained, steps: Sequence[Sequence[int]]) -> dict[str, Array]:
    """Measures of the mechanism at each seed's own steps: (steps, seeds) each."""
    columns: dict[str, list[Array]] = {name: [] for name in TITLES}
    for number, (problem, own) in enumerate(zip(run.problems, steps, strict=True)):
        path = run.path(number, own)
        reduced = grokking.projected(path, run.setting.p)
        columns["accuracy"].append(evaluate(problem, path, "test")["accuracy"].numpy())
        columns["projected"].append(evaluate(problem, reduced, "test")["accuracy"].numpy())
        columns["concentration"].append(grokking.fourier(path, run.setting.p)["concentration"])
        columns["norm"].append(path.theta.norm(dim=1).double().cpu().numpy())
    return {name: np.stack(values, axis=1) for name, values in columns.items()}


def at_memorization(run: Trained) -> dict[str, Array]:
    """The same at T_mem: (seeds,) each."""
    return {name: values[0] for name, values in along(run, [[step] for step in run.memorized]).items()}


def last_low(accuracies: Array) -> int:
    """Where accuracy is last below 10 %; the first place where it never is."""
    return int(max(np.flatnonzero(accuracies < 0.1), default=0))


def risen(run: Trained) -> Array:
    """The part of the concentration's rise, from T_mem to the end, that is done where accuracy is last below 10 %."""
    steps = np.array(looked_at(run))
    low = [int(steps[last_low(values)]) for values in run.accuracies(steps).T]
    ends = [[first, max(first, last), int(steps[-1])] for first, last in zip(run.memorized, low, strict=True)]
    start, before, end = along(run, ends)["concentration"]
    return (before - start) / (end - start)


def growth(run: Trained) -> Array:
    """The norm where accuracy first is 50 %, over where it last was below 10 % before, NaN where it never is."""
    steps = np.array(looked_at(run))
    accuracies = run.accuracies(steps)
    ends = []
    for values in accuracies.T:
        half = int((values >= 0.5).argmax())
        ends.append([int(steps[last_low(values[: half + 1])]), int(steps[half])])
    before, at_half = along(run, ends)["norm"]
    return np.where((accuracies >= 0.5).any(0), at_half / before, np.nan)


def by_chance(run: Trained, seed: int) -> Array:
    """Accuracy at T_mem of networks reduced to a random frequency a neuron: (seeds,)."""
    draws, found = generator(seed, "random frequencies"), []
    for number, (problem, step) in enumerate(zip(run.problems, run.memorized, strict=True)):
        drawn = torch.randint(1, (run.setting.p - 1) // 2 + 1, (1, WIDTH), generator=draws)
        reduced = grokking.projected(run.path(number, [step]), run.setting.p, frequency=drawn)
        found.append(evaluate(problem, reduced, "test")["accuracy"])
    return torch.cat(found).numpy()


def restricted_losses(run: Trained, steps: Sequence[int]) -> dict[str, Array]:
    """Loss on held-out pairs of what depends on the sum, and on training pairs of the rest: (steps, seeds) each."""
    both = [grokking.restricted(one, run.path(seed, steps))["loss"] for seed, one in enumerate(run.problems)]
    return {
        "restricted loss, held-out pairs": np.stack([one[:, 1, 1] for one in both], axis=1),
        "excluded loss, training pairs": np.stack([one[:, 2, 0] for one in both], axis=1),
    }


def compared(lab: Lab, paths: dict[str, dict[str, Array]], steps: Sequence[int], name: str) -> Figure:
    """One measure over the logarithm of the step, of sums and both nulls."""
    count = min(values[name].shape[1] for values in paths.values())
    table = [values[name][:, :count] for values in paths.values()]
    reading = lab.reading(name, table, {"arm": list(paths), "step": steps, "seed": range(count)})
    title, label = TITLES[name]
    return spread(reading, x="step", over="seed", title=title, x_axis=Axis("step", scale="log"), y_axis=Axis(label))


def hero(run: Trained, path: dict[str, Array], steps: Sequence[int]) -> Figure:
    """Accuracies with both times, and beside them what goes on under the plateau."""
    labels = {"accuracy": "test", "projected": "test, one frequency a neuron", "concentration": "participation ratio"}
    lines = [
        Line(np.array(steps, float), path[name].mean(1), low=path[name].min(1), high=path[name].max(1), label=label)
        for name, label in labels.items()
    ]
    times = [ReferenceLine(at, "vertical", label=of) for of, at in run.times.typical.items() if np.isfinite(at)]
    axes = Axis("step", scale="log"), Axis("share", limits=(-0.02, 1.2))
    return Figure.row(
        [late.curve(run), Figure.of("What goes on meanwhile", [*lines, *times], *axes)],
        title="Generalization long after fitting, and what it grows from",
        caption=f"{run.setting.text}, {len(run.problems)} networks; bands from the smallest to the largest, dashed is "
        "chance. The participation ratio is 1 where every neuron has one frequency.",
    )


def found(lab: Lab, runs: Shared) -> Finding:
    """Look at snapshots: the projected network, the concentration, the norm; each part of the weaker setting."""
    main, steps = runs.main, looked_at(runs.main)
    arms = {"sums": main, "random answers": runs.random, "no decay": runs.without}
    paths = {name: along(run, [steps] * len(run.problems)) for name, run in arms.items()}
    memory, random = [at_memorization(run) for run in runs.tables], at_memorization(runs.random)
    rises, chance, grown = [risen(run) for run in runs.tables], by_chance(main, lab.seed), growth(main)
    losses, here = restricted_losses(main, steps), {"step": steps, "seed": range(len(main.problems))}
    flat, no_decay = paths["random answers"]["concentration"][-1] - random["concentration"], paths["no decay"]
    panels = [compared(lab, paths, steps, name) for name in TITLES]
    return lab.finding(
        claim=CLAIM,
        parts={
            # A share, as in GRK1: the accuracies agree.
            MEMORIZED: share_in_each([one["accuracy"] < 0.05 for one in memory]),
            THERE: weakest([interval.mean(one["projected"], bounds=SHARE) for one in memory]),
            BEFORE: weakest([interval.mean(one) for one in rises]),
        },
        numbers={
            "projected accuracy at T_mem": by_setting(runs, [one["projected"] for one in memory]),
            "share of the rise before the jump": by_setting(runs, rises),
            "projected on random frequencies at T_mem": chance.tolist(),
            "random answers: projected accuracy at T_mem": random["projected"].tolist(),
            "random answers: change of the concentration": flat.tolist(),
            "norm at 50 % / norm below 10 %": grown.tolist(),
            "no decay: projected accuracy at the end": no_decay["projected"][-1].tolist(),
            "loss at the end": {name: float(values[-1].mean()) for name, values in losses.items()},
        },
        figures=(
            hero(main, paths["sums"], steps),
            Figure.row(
                panels, title="Memorize, simplify, generalize", caption=f"{main.setting.text}. {panels[0].caption}"
            ),
        ),
        readings=[
            *(lab.reading(f"{TITLES[name][0]}", paths["sums"][name], here) for name in TITLES),
            *(lab.reading(name, values, here, unit="nats") for name, values in losses.items()),
        ],
        sentences=[
            f"At memorization the networks are right on {memory[0]['accuracy'].mean():.1%} of held-out pairs, and "
            f"reduced to one frequency a neuron on {memory[0]['projected'].mean():.0%} (to random frequencies on "
            f"{chance.mean():.0%}; those of random answers on {random['projected'].mean():.1%}).",
            f"{rises[0].mean():.0%} of the rise of the inverse participation ratio takes place while accuracy is below "
            f"10 %; of random answers it changes by {flat.mean():.3f} in all.",
            f"From there to 50 % the norm of the weights changes by a factor of {mean_known(grown):.3f}.",
            f"Without decay the structure is there too: at the end accuracy is {no_decay['accuracy'][-1].mean():.1%}, "
            f"and that of the reduced network {no_decay['projected'][-1].mean():.0%}. Structure is not sufficient.",
            why_as_many(runs),
        ],
    )
