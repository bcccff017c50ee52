"""Iterative magnitude pruning with rewinding, and its controls in lock-step."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import check_choice, check_type
from thalweg.guard import guarded
from thalweg.population import Plan, Population, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.results import Cost, Provenance, Reading
from thalweg.tickets.allocation import Allocation, ByLayer
from thalweg.tickets.arm_levels import ArmsWanted, arm_levels
from thalweg.tickets.checked import check_trained, checked_seeds, diverged
from thalweg.tickets.controls import ARMS, EQUAL_COST, FRESH, REINITIALIZED, Arms, first_units, fresh_at
from thalweg.tickets.division import Share
from thalweg.tickets.found import Search
from thalweg.tickets.layer_order import usual_keep
from thalweg.tickets.policy import Policy
from thalweg.tickets.rewinding_step import Rewinding, rewinding_step
from thalweg.tickets.scoring import Score, as_score, by_magnitude
from thalweg.tickets.search_cost import SearchCost, search_cost, steps_to_find
from thalweg.tickets.selection import EmptyLayerError, Mask, check_left, select
from thalweg.training import Recipe, Run, Start, train
from thalweg.workers import Workers


@guarded
def search(
    problem: Problem,
    recipe: Recipe,
    *,
    seeds: int | Sequence[int] = 5,
    rounds: int = 12,
    keep: Share | None = None,
    rewind_to: Rewinding = 0,
    retrain: str | Recipe = "weights",
    arms: ArmsWanted = ARMS,
    score: Score = by_magnitude,
    allocation: Allocation | None = None,
    policy: Policy | None = None,
    plan: Plan | str | Mapping[str, Plan] = "auto",
    progress: Watcher | None = automatic,
    workers: Workers | None = None,
) -> Search:
    """Find lottery tickets by iterative pruning with rewinding, and train their controls beside them.

        m_0 = 1;  m_(r+1) keeps of m_r the share `keep` with the highest scores of train(m_r theta_k, from step k)

    Rewinding restores weights, running statistics, what the optimizer remembers, the schedule and the place in the data
    of step k, so that with masks that keep everything each level is the dense run again. The arms of a level are one
    population and see the same batches; besides the ticket they are

    - "one-shot": as many weights by the scores of the dense run, in one cut;
    - "reinit": the ticket's mask, another initialization (of which step k is taken, if k > 0);
    - "signs kept": the magnitudes of that, with the ticket's signs, and fresh moments;
    - "shuffled": as many weights in every layer, at random places (of units, blocks and n of m: as many of them);
    - "random", "random ERK": as many single weights in all, at random places everywhere, or by `ErdosRenyi`;
    - "magnitude at init": the largest weights of the initialization;
    - "small dense": the first units of every layer, about as many weights, initialized by their own fan-in and trained
      from step 0 on;

    and further ones where they are named:

    - "one-shot, equal cost": as "one-shot", of a dense run of as many steps as finding the ticket took;
    - "first layer shuffled": places exchanged in the first layer alone: of those that may be pruned, the one that the
      model calls first;
    - "reinit, shuffled": the shuffled mask with the other initialization, beside which "reinit" shows what the mask is
      worth by itself;
    - "another reinit", "another shuffling": drawn once more; between them and the first there is no difference to find.

    One round with a small share is one-shot pruning. The cost is said beforehand by `search_cost`.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits().subset(train=300, test=100))
    >>> recipe = tw.Recipe(tw.optim.Momentum(0.1), steps=30, batch_size=100, evaluate=1)
    >>> arms = ("ticket", "reinit", "shuffled")
    >>> found = tw.tickets.search(problem, recipe, seeds=3, rounds=2, keep=0.5, rewind_to=0.1, arms=arms)
    >>> found.densities.tolist(), found["test_accuracy"].shape
    ([0.5, 0.25], (3, 2, 3))
    >>> sorted(found.verdict(2).better)
    ['dense', 'reinit', 'shuffled']

    Args:
        problem: what is trained.
        recipe: how, from step 0 on; without sweeps.
        seeds: of initialization, data order and all that controls draw; an integer n means 0 to n - 1.
        rounds: levels of pruning.
        keep: of what remains, at every round; everywhere, or by name or kind of layer. None: 0.8, and 0.9 of the output
            layer, as the paper has it, or what the allocation can do: `ErdosRenyi` 0.8, `NofM` its own.
        rewind_to: step k: a step, a share of all steps, or epochs such as "2 epochs".
        retrain: "weights": from the weights of step k; "rate": from the last weights, with fresh moments and schedule
            and data order of step k (Renda et al., 2020, arXiv:2003.02389); or a recipe by which the last weights are
            fine-tuned, such as one of a small constant rate. It is how the ticket alone is trained, so only "weights"
            gives a verdict.
        arms: which are trained, at every level, or by name the levels, such as {"reinit": (2, 4)}; the ticket is at
            every one. A verdict needs "reinit" and "shuffled".
        score: any of `tickets.scores` as it is, such as `scores.snip`, or a function of (trained, initialization).
        allocation: which weights compete; None: `ByLayer`.
        policy: what may be pruned; None: weights of layers, the output layer's too.
        plan: see `train`.
        progress: told how far it is, in steps of the population.
        workers: who trains slices of the members, see `train`; None: this process.

    Raises:
        UsageError: arguments that cannot be meant, a recipe with sweeps, or seeds of which one diverged.
        ModelError: "small dense" is asked for, of a model that cannot be traced.

    Cost: (1 + rounds) trainings of the ticket, and rounds of every other arm. Memory: final members of every level.

    Sources: Frankle & Carbin, 2019, arXiv:1803.03635; Frankle et al., 2020, arXiv:1912.05671.
    """
    began = time.perf_counter()
    given = checked_seeds("search", recipe, seeds)
    _check(problem, retrain)
    at = arm_levels(arms, rounds)
    policy, allocation = policy or Policy(), allocation or ByLayer()
    division = allocation.division(problem, policy)
    score = as_score(problem, score)
    keep, said = usual_keep(problem, allocation, division) if keep is None else (keep, "")
    k = rewinding_step(problem, recipe, rewind_to)
    expected = search_cost(problem, recipe, seeds=seeds, rounds=rounds, rewind_to=rewind_to, arms=arms, retrain=retrain)
    kept = [division.sizes]
    for _ in range(rounds):  # raises before anything is trained
        kept.append(allocation.kept(division, keep, kept[-1]))
    check_left(division, kept[1])
    if "small dense" in at:
        first_units(problem, policy, int(kept[-1].sum()))  # raises likewise, of a model that cannot be traced
    with watched(progress) as told:
        told(Progress(f"tickets, dense. {expected}", 0, rounds + 1, 0.0))
        whole = replace(recipe, snapshot=tuple(sorted({0, k, *recipe.snapshot_steps})), snapshot_state=True)
        dense = train(problem, whole, given, plan=plan, workers=workers)
        check_trained("search", dense, given)
        start, first = dense.at(k), dense.snapshots[0]
        fresh, fresher = (
            fresh_at(problem, whole, given, k, stream=stream, plan=plan, workers=workers) if names & set(at) else None
            for names, stream in zip(FRESH, (REINITIALIZED, f"another {REINITIALIZED}"), strict=True)
        )
        trained = dense.final
        making = Arms(problem, policy, allocation, division, given, start, first, fresh, fresher, score(trained, first))
        levels: list[dict[str, Run]] = []
        masks: list[Mapping[str, Mask]] = []
        mask, notes = None, [said] if said else []
        if "first layer shuffled" in at:
            notes.append(f"The first layer that is shuffled is {making.order.first.name}, {making.order.how}.")
        for level in range(1, rounds + 1):
            told(Progress(f"tickets, level {level}", level, rounds + 1, time.perf_counter() - began))
            scored = score(trained, first)
            try:
                mask = select(scored, division, kept[level], within=mask)
            except EmptyLayerError as error:
                if not levels:
                    raise
                notes.append(f"Stopped before level {level}: {error}")
                break
            names, longer = [name for name in at if level in at[name]], None
            if EQUAL_COST in names:
                spent = replace(recipe, steps=steps_to_find(recipe, level, k, retrain), evaluate=0, snapshot=0)
                longer = score(train(problem, spent, given, plan=plan, workers=workers).final, first)
            pairs = {name: making.of(name, mask, kept[level], longer) for name in names}
            run, tuned, own = _level(making, pairs, mask, recipe, retrain, trained, plan, workers)
            masks.append(own)
            levels.append({"ticket": tuned} if tuned is not None else {})
            levels[-1] |= {name: run for name in names if run is not None and name not in levels[-1]}
            one = levels[-1]["ticket"]
            trained = one.final[one.select(arm="ticket")]
            lost = diverged(one, given, "ticket")
            if lost and level < rounds:
                notes.append(f"Stopped before level {level + 1}: tickets of the seeds {lost} diverged.")
                break
    seconds = time.perf_counter() - began
    reading = _reading(making, recipe, at, dense, levels, masks, expected, notes, seconds)
    return Search(reading, dense, start, tuple(levels), tuple(masks), expected, making, retrain)


def _check(problem: Problem, retrain: str | Recipe) -> None:
    check_type("search problem", problem, Problem, "a Problem")
    if isinstance(retrain, Recipe):
        checked_seeds("search retrain", retrain, 1)
    if not isinstance(retrain, Recipe):
        check_choice("search retrain, if no Recipe of fine-tuning,", retrain, ("weights", "rate"))


def _level(
    making: Arms,
    pairs: dict[str, tuple[Start, Mask]],
    mask: Mask,
    recipe: Recipe,
    retrain: str | Recipe,
    trained: Population,
    plan: Plan | str | Mapping[str, Plan],
    workers: Workers | None,
) -> tuple[Run | None, Run | None, dict[str, Mask]]:
    """All arms of a level as one population; a ticket that is fine-tuned has a recipe, and so a run, of its own."""
    seeds, tuned = list(making.seeds), None
    masks = {name: pair[1] for name, pair in pairs.items()}
    if retrain != "weights":
        pairs["ticket"] = replace(making.start, population=replace(trained, mask=None), state=None), mask
    if isinstance(retrain, Recipe):
        start, _ = pairs.pop("ticket")
        one = {"ticket": Start(start.population)}
        tuned = train(
            making.problem, retrain, seeds, start=one, mask={"ticket": mask}, paired=True, plan=plan, workers=workers
        )
    if not pairs:
        return None, tuned, masks
    starts = {name: pair[0] for name, pair in pairs.items()}
    own = {name: masks[name] for name in starts}
    run = train(making.problem, recipe, seeds, start=starts, mask=own, paired=True, plan=plan, workers=workers)
    return run, tuned, masks


def _reading(
    making: Arms,
    recipe: Recipe,
    names: Collection[str],
    dense: Run,
    levels: Sequence[Mapping[str, Run]],
    masks: Sequence[Mapping[str, Mask]],
    expected: SearchCost,
    notes: Sequence[str],
    seconds: float,
) -> Reading:
    prunable = making.policy.columns(making.problem.layout)
    kept = np.array([int(one["ticket"][0, prunable].sum()) for one in masks])
    everything = np.array([float(one["ticket"][0].double().mean()) for one in masks])
    arrays: dict[str, NDArray] = {}
    for metric in dense.history.metrics:
        missing = np.full(len(making.seeds), np.nan)
        arrays[metric] = np.array(
            [
                [of[name].history.final(metric)[of[name].select(arm=name)] if name in of else missing for of in levels]
                for name in names
            ]
        )
    for metric in list(arrays):
        arrays[f"dense {metric}"] = dense.history.final(metric)
    dims = {name: ("seed",) if name.startswith("dense ") else ("arm", "density", "seed") for name in arrays}
    arrays |= {"weights kept": kept, "density of all parameters": everything}
    dims |= {"weights kept": ("density",), "density of all parameters": ("density",)}
    units = {name: dense.history.units[name.removeprefix("dense ")] for name in arrays if name in dims and "_" in name}
    return Reading(
        "lottery tickets",
        arrays,
        dims,
        {"arm": list(names), "density": kept / int(prunable.sum()), "seed": list(making.seeds)},
        units,
        sample_size=len(making.seeds),
        cost=Cost(seconds, forwards=expected.steps, backwards=expected.steps),
        provenance=Provenance.here(
            list(making.seeds), str(making.problem.device), str(making.problem.dtype), plan=str(dense.plan)
        ),
        notes=(
            f"Pruned by {type(making.allocation).__name__}, rewound to step {making.start.step} of {recipe.steps}; "
            "densities are of the weights that may be pruned.",
            str(expected),
            *notes,
        ),
    )
