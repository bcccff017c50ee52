"""Masks of one task on others."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError, check_choice, check_type, unknown_name
from thalweg.figures import Axis, Bars, Figure
from thalweg.population import Plan, Problem
from thalweg.population.layout import same_layout
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.randomness import stream_key
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.statistics import Interval, interval
from thalweg.tickets.controls import fresh_at
from thalweg.tickets.found import Search, bounds_of
from thalweg.tickets.share_of_gain import share_of_gain
from thalweg.tickets.shuffling import SHUFFLED, shuffled_parts
from thalweg.training import train
from thalweg.workers import Workers

Array = NDArray[np.float64]
ARMS_ON_TASKS = ("ticket", "shuffled", "first layer shuffled", "mask, new init", "dense")
MORE_ARMS_ON_TASKS = ("shuffled, new init", "another shuffling")


@dataclass(frozen=True, eq=False)
class Transfer(Result):
    """What `transfer` found.

    Args:
        reading: the metric after the last step (task, arm, seed), under its name; and "advantage" (task, seed), by how
            much the ticket is better than its shuffled mask.
        metric: its name, such as "test_accuracy".
    """

    metric: str

    def of(self, task: str, arm: str = "ticket") -> Array:
        """The metric of an arm on one task: (seeds,).

        Raises:
            UsageError: no such task or arm.
        """
        arms = self.reading.coordinate("arm").tolist()
        if arm not in arms:
            raise unknown_name("arm", arm, arms)
        return self[self.metric][self._number(task), arms.index(arm)]

    def advantage(self, task: str) -> Interval:
        """By how much the ticket is better than its shuffled mask, on one task.

        Raises:
            UsageError: no such task.
        """
        return interval.mean(self["advantage"][self._number(task)])

    def kept(self, task: str, source: str) -> Interval:
        """Which part of the advantage on the source is there on a task (see `share_of_gain`).

        Raises:
            UsageError: no such task.
        """
        table = self["advantage"]
        return share_of_gain(table[self._number(task)], table[self._number(source)])

    def figure(self) -> Figure:
        """All arms on every task, with intervals over seeds."""
        tasks, table = self.reading.coordinate("task"), self[self.metric]
        marks = []
        for number, arm in enumerate(self.reading.coordinate("arm")):
            found = [interval.mean(one[number], bounds=bounds_of(self.metric)) for one in table]
            ends = np.array([(one.estimate, one.low, one.high) for one in found]).T
            marks.append(Bars(tuple(map(str, tasks)), ends[0], low=ends[1], high=ends[2], label=str(arm)))
        y = Axis(self.metric.replace("_", " "), self.reading.units.get(self.metric, ""))
        return Figure.of("A ticket on other tasks", marks, Axis("task"), y, caption=" ".join(self.reading.notes))

    def _number(self, task: str) -> int:
        tasks = self.reading.coordinate("task").tolist()
        if task not in tasks:
            msg = f"There is no task {task!r}; known are {', '.join(tasks)}."
            raise UsageError(msg)
        return tasks.index(task)


def transfer(
    found: Search,
    problems: Mapping[str, Problem],
    *,
    level: int,
    arms: Sequence[str] = ARMS_ON_TASKS,
    plan: Plan | str = "auto",
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> Transfer:
    """Train the ticket of a level on other tasks, with other data orders, beside its controls.

    The mask and the weights of step k are those of the task it was found on; moments begin anew. Arms are the ticket,
    its mask shuffled in every layer or in the first one alone (what is transferred there is which inputs go together),
    the mask with another initialization (the mask alone), and the dense network; where they are named, also
    "shuffled, new init" beside that, and "another shuffling", between which and the first there is nothing to find.
    All begin at step k: other initializations, too, are trained to it on the first task, and what is dense are the
    ticket's weights of step k under no mask.

    >>> import thalweg as tw
    >>> data = tw.data.digits()
    >>> tasks = {"same": tw.Problem(lambda: tw.nets.mlp(64, 8, 10), data.subset(train=200, test=50))}
    >>> tasks["more data"] = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), data.subset(train=400, test=50))
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=20, batch_size=50, evaluate=1)
    >>> found = tw.tickets.search(tasks["same"], recipe, seeds=2, rounds=1, keep=0.5, arms=("ticket",))
    >>> tw.tickets.transfer(found, tasks, level=1)["test_accuracy"].shape
    (2, 5, 2)

    Args:
        found: of `search`, whose recipe and seeds are taken.
        problems: by name, of the same model on other data; the source itself is the measure for all others.
        level: of the search, from 1 on.
        arms: which are trained; the ticket and its shuffled mask always are.
        plan, progress, workers: see `train`.

    Raises:
        UsageError: no such level or arm, or a model of another architecture.

    Cost: a training for each arm, task and seed, and of other initializations to step k.
    """
    began = time.perf_counter()
    check_type("transfer found", found, Search, "a Search, as tickets.search returns it")
    check_type("transfer problems", problems, Mapping, "problems by name")
    if not 1 <= level <= len(found.masks) or not problems:
        msg = (
            f"transfer takes a level from 1 to {len(found.masks)} and at least one task; got {level}, {list(problems)}."
        )
        raise UsageError(msg)
    known = (*ARMS_ON_TASKS, *MORE_ARMS_ON_TASKS)
    for arm in arms:
        check_choice("An arm of transfer", arm, known)
    names = [name for name in known if name in {"ticket", "shuffled", *arms}]
    seeds = [int(seed) for seed in found.reading.coordinate("seed")]
    mask, layout = found.masks[level - 1]["ticket"], found.dense.final.layout
    division = found.making.division
    start = replace(found.start, state=None, order=None)
    masks = {
        "ticket": mask,
        "shuffled": shuffled_parts(mask, division, seeds),
        "first layer shuffled": shuffled_parts(mask, division, seeds, layers=[found.making.order.first]),
        "mask, new init": mask,
        "dense": None,
        "shuffled, new init": shuffled_parts(mask, division, seeds),
        "another shuffling": shuffled_parts(mask, division, seeds, stream=f"another {SHUFFLED}"),
    }
    orders = [stream_key(seed, "transfer") for seed in seeds]
    recipe = replace(found.dense.recipe, snapshot=0, snapshot_state=False)
    tables, fresh = [], None
    with watched(progress) as told:
        if any(arm.endswith("new init") for arm in names):
            told(Progress("transfer, other initializations", 0, len(problems), 0.0))
            of = found.making.problem, found.dense.recipe
            made = fresh_at(*of, seeds, start.step, plan=plan, workers=workers)
            fresh = replace(made, state=None, order=None)
        for number, (name, problem) in enumerate(problems.items()):
            told(Progress(f"transfer to {name}", number, len(problems), time.perf_counter() - began))
            same_layout(layout, problem.layout)
            starts = {arm: fresh if fresh is not None and arm.endswith("new init") else start for arm in names}
            own = {arm: masks[arm] for arm in names}
            run = train(problem, recipe, orders, start=starts, mask=own, paired=True, plan=plan, workers=workers)
            final = run.history.final(found.metric)
            tables.append(np.stack([final[run.select(arm=arm)] for arm in names]))
    table = np.stack(tables)
    advantage = table[:, 0] - table[:, 1]
    metric = found.metric
    reading = Reading(
        "transfer of a ticket",
        {metric: table, "advantage": -advantage if metric.endswith("loss") else advantage},
        {metric: ("task", "arm", "seed"), "advantage": ("task", "seed")},
        {"task": list(problems), "arm": names, "seed": seeds},
        dict.fromkeys((metric, "advantage"), found.reading.units.get(metric, "")),
        sample_size=len(seeds),
        cost=Cost(time.perf_counter() - began),
        provenance=Provenance.here(seeds, str(found.dense.final.theta.device), str(found.dense.final.theta.dtype)),
        notes=(
            f"Level {level} ({1 - found.densities[level - 1]:.1%} sparse), from step {start.step}; other data orders.",
            *_first_layer(found, names),
            "Bars are means with 95 % intervals over seeds.",
        ),
    )
    return Transfer(reading, metric)


def _first_layer(found: Search, names: Sequence[str]) -> tuple[str, ...]:
    order = found.making.order
    said = f"The first layer that is shuffled is {order.first.name}, {order.how}."
    return (said,) if "first layer shuffled" in names else ()
