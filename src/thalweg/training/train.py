"""The verb `train`."""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import NoneType

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.evaluation.rows import index_table
from thalweg.guard import guarded
from thalweg.population import Plan, Problem
from thalweg.population.audits import StackedDiffers
from thalweg.population.execution import ALL_THE_SAME
from thalweg.progress import Watcher, automatic, check_watcher, watched
from thalweg.storage import Store
from thalweg.training.beginning import Masks, Starts, arms_of, beginning
from thalweg.training.checkpoint import Checkpoints
from thalweg.training.history import History
from thalweg.training.identity import digest, identity
from thalweg.training.loop import ANEW, Loop, Observer
from thalweg.training.member_grid import MemberGrid
from thalweg.training.recipe import Recipe
from thalweg.training.run import Run
from thalweg.training.seeds import seeds_of
from thalweg.training.slice_plan import check_device
from thalweg.training.slice_records import SliceRecords
from thalweg.training.slices import Slices, divisible
from thalweg.training.start import DataOrder
from thalweg.training.state import initial, resumed
from thalweg.workers import Here, Workers, check_workers

_LOOPED = {"gradient": Plan("looped", 1), "outputs": Plan("looped", 1)}


@guarded
def train(
    problem: Problem,
    recipe: Recipe,
    seeds: int | Sequence[int] = 1,
    *,
    start: Starts = None,
    mask: Masks = None,
    paired: bool = False,
    examples: Tensor | ArrayLike | None = None,
    test_examples: Tensor | ArrayLike | None = None,
    resume: Run | None = None,
    until: int | None = None,
    plan: Plan | str | Mapping[str, Plan] = "auto",
    progress: Watcher | None = automatic,
    observe: Observer | Sequence[Observer] = (),
    store: Store | str | Path | None = None,
    name: str | None = None,
    checkpoint_seconds: float = 30.0,
    workers: Workers | None = None,
) -> Run:
    """Train one member for every combination of the recipe's sweeps and seeds, all as one program.

    A member is initialized, and its batches are drawn, from streams of its own seed, so it does not depend on who else
    is trained: bit for bit with plan="looped", and with "stacked" where kernels add in one order for any number of
    members, as those of dense layers do; else, as with "auto", which may stack many and loops one, to the rounding of
    gradients. (Where a gradient is nothing but rounding, rules such as Adam make steps of it.) A member whose loss or
    gradient stops being finite is frozen and reported with its step; the others go on with the same bits.

    Where members are stacked, the run audits itself: at eight random steps or more, keyed by (seed, step), a member
    drawn at random is computed again alone by the plain module on its own batch. One that passes says nothing of the
    steps before it; so where loss or gradient differ by more than rounding the run begins anew, looped, with a warning
    and a note in `history.notes` and in the plan's reason. Evaluations of the run are audited likewise. That holds for
    plan="stacked" too: it is an order as long as no audit of work on this problem fails. From then on this and all
    later work is looped, and says so in the same places.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.SGD(lr=tw.sweep.log(0.01, 1, 3)), steps=10, batch_size=64)
    >>> run = tw.train(problem, recipe, seeds=2)
    >>> run.final.theta.shape, run.history["test_accuracy"].shape
    (torch.Size([6, 650]), (11, 6))

    Args:
        problem: what is minimized.
        recipe: how.
        seeds: one a member of each combination; an integer n means 0 to n - 1. They draw initializations and data
            orders.
        start: where to begin: a Population at step 0, or a `Start` such as run.at(200), from whose step on schedule,
            data order and moments go on. Every seed is trained from each of its members. A mapping from names to
            starts makes arms: members of all arms are one population, each begins at its own start's step, and the
            same seed in two arms sees the same batches. None initializes by seed.
        mask: True where a parameter is active (a lottery ticket): (parameters,) for all, or a row for each member of
            the start (without one: for each seed) or for each trained. A mapping from names to masks makes arms, too;
            beside one of starts it has the same names. Outside, theta, gradients before they are clipped, and what the
            rule remembers are zero from the first step on.
        paired: whether the start's members go with the seeds, one by one, instead of being crossed with them; there
            may also be one for each combination of sweeps and seed, as a run of this recipe has them.
        examples: on which training examples each seed is trained, by index: whole numbers (seeds, n), a row for each
            seed in every sweep and arm; None: on all. A seed may then be given twice, and a row may hold an example
            more than once (a bootstrap sample). Epochs are of the n positions of the row, in the order of the seed, as
            if the row were the whole training set; "train_loss" and its like are those of the member's own examples.
        test_examples: on which test examples each seed is evaluated, by index: (seeds, n), like `examples`; None: on
            all. With both, seeds have splits of their own: `data.pooled` joins the training sets, and the test sets,
            and says why on="test" of such a problem is no test for an instrument that is not given the run.
        resume: an unfinished run of the same recipe and seeds to go on from, bit for bit, with its mask, examples and
            test examples, which need not be given again.
        until: stop at this step of the recipe; None is its last. A run that is further already stays as it is.
        plan: "auto" measures; "stacked", "looped" or a `Plan` force; another run's `plans` give its very bits. Stacked
            members that are known beforehand to be others are refused; where an audit finds that they are, members are
            looped all the same, with a warning.
        progress: told how far it is after every step.
        observe: functions of (step, population), one or several, such as a `curvature.Tracker`: called where the run
            begins and after every step, or at multiples of n where they have an attribute `every` = n. The population
            is the one being trained, to be read only: the next step changes it, so copy what you keep; members that
            begin later stand where they will begin. One with a method `begin` is given the rule's state by name, which
            the steps change too, before its first call. No bit of the run depends on them, and nothing of them is
            stored: a run that goes on calls them for the steps from there. Where an audit sends the run back, the steps
            come again: a method `forget` is told the first of them, and `begin` is called again. With `workers`, one
            that can be cut, as a Tracker or an `Observed` can: by methods `part`, `heard` and `merge`.
        store: where checkpoints and the finished run go (a Store or its folder). A run that is there
            already, for the same problem, recipe and seeds, is continued, or returned if it was finished.
        name: the run's key in the store; None is a hash of recipe, seeds, data, examples, start, what loss and metrics
            say of the start, and of what is your own (layers, losses, rules, schedules) what it holds, its code and
            what it does. Give one where runs differ in ways that these do not show, such as a table in a global.
        checkpoint_seconds: the most work, in seconds, that a kill can lose.
        workers: who trains slices of the members, such as `workers.Processes(2)`; None: this process, with the threads
            it has. The result is that of one process, to the bit, by the same plans and with one thread, on a processor
            of the same kind; one of several kinds says so in `history.notes`. Slices write checkpoints to the store,
            and a run that was interrupted goes on with any number of slices, or none. Each slice audits itself; where
            one fails, all begin anew.

    Returns:
        The run; `run.final` has the members, `run.axes` says which is which, `run.history` how they went.

    Raises:
        UsageError: a recipe that does not fit the problem; a plan by which members would be others; a start of another
            architecture, optimizer or data order, or beyond the last step; a mask that does not fit; examples that are
            not there.
        StorageError: a store that cannot be used, or whose run of that name is another.
        WorkerError: what cannot be sent to workers, or workers that die again and again.
        KeyboardInterrupt: Ctrl-C, after the step under way and with a checkpoint in the store.
        Exception: whatever an observer raises, with a note that names it, and with a checkpoint in the store.

    Memory: theta, where it began if members are stacked, the rule's state, one gradient (and a point uphill, for SAM),
    and activations within the problem's memory budget; besides, the snapshots asked for, and one number a step and
    member. With workers this process has three times theta and state, and each of them its slices'; see `scatter` for
    more than that.
    """
    check_type("train problem", problem, Problem, "a Problem")
    check_type("train recipe", recipe, Recipe, "a Recipe")
    check_type("train resume", resume, (Run, NoneType), "an unfinished Run")
    check_type("train store", store, (Store, str, Path, NoneType), "a Store or its folder")
    check_workers("train workers", workers, optional=True)
    check_type("train paired", paired, bool, "True or False")
    check_watcher("train", progress)
    check_type("train checkpoint_seconds", checkpoint_seconds, (int, float), "a number of seconds")
    if not 0 <= checkpoint_seconds < math.inf:
        msg = f"train checkpoint_seconds must be finite and not negative; got {checkpoint_seconds}."
        raise UsageError(msg)
    if until is not None:
        check_count("train until", until)
    observers = _observers(observe)
    if workers is not None:
        check_device(problem)
        divisible(observers)
    own = resume is not None or examples is not None
    bytes_each = problem.layout.parameters * problem.dtype.itemsize
    seeds = seeds_of("train", seeds, bytes_each, repeated=own or (paired and start is not None))
    table = tested = None
    if examples is not None:
        table = index_table("train examples", examples, "seed", len(seeds), len(problem.data.train))
    if test_examples is not None:
        if problem.data.test is None:
            msg = f"train test_examples are indices of test examples, and {problem.data.name!r} has none."
            raise UsageError(msg)
        tested = index_table("train test_examples", test_examples, "seed", len(seeds), len(problem.data.test))
    if resume is not None:
        if start is not None or mask is not None:
            msg = "resume goes on with the run's own members and mask; leave out start and mask, or leave out resume."
            raise UsageError(msg)
        _check_same(recipe, seeds, {"examples": table, "test_examples": tested}, resume)
        grid, begun = resume.grid, resumed(resume.state, resume.final)
    else:
        arms = arms_of(start, mask)
        grid = MemberGrid(recipe, seeds, [arm.origin(paired=paired) for arm in arms], table, tested)
        begun = beginning(problem, recipe, grid, arms)
    population, state = begun.population, initial(problem, recipe, begun)
    plans: dict[str, Plan | str] = {"gradient": "auto", "outputs": "auto"}
    plans |= _plans(plan)
    store = Store(store) if isinstance(store, str | Path) else store
    determines = {} if store is None else identity(problem, recipe, grid, begun, named=name is not None)
    checkpoints = Checkpoints(store, digest(determines) if name is None else name, determines, checkpoint_seconds)
    state.origin = None if store is None else begun.kept()
    if resume is not None:
        state.origin = resume.state.origin
        state.load(resume.state.tensors(), resume.step)
        plans |= resume.plans
    replaces = resume is not None and name is not None  # under a name, what goes on takes the place of what it was
    stored = checkpoints.restore(state, replaces=replaces)
    at, sliced = SliceRecords(checkpoints).restore(state, stored, replaces=replaces)
    plans |= stored | sliced
    last = recipe.steps if until is None else min(until, recipe.steps)
    clock = time.perf_counter()
    if resume is None and last <= int(begun.steps.min()):
        msg = f"train until={last} leaves nothing to train: the start stands at step {int(begun.steps.min())}."
        raise UsageError(msg)
    slices = Slices(problem, recipe, grid, population, state, begun, checkpoints, at)
    if sliced:  # slices that were interrupted, each at a step of its own, first come to where the furthest is
        with watched(progress) as told:
            found = _found_meanwhile(problem, plans, goes_on=True)
            plans |= slices.advance(int(at.max()), plans, workers or Here(), told, found=found)
    if state.step < last:
        checkpoints.try_out(state)
        found = _found_meanwhile(problem, plans, goes_on=resume is not None or bool(stored or sliced))
        if workers is not None:
            with watched(progress) as told:
                plans |= slices.advance(last, plans, workers, told, divisible(observers), found)
        else:
            loop = Loop(problem, recipe, grid, population, state, _LOOPED if found else plans, observers)
            if found:
                loop = _anew(loop, found, checkpoints)
            else:
                loop.keep_origin(begun)
            with watched(progress) as told:
                loop = _advanced(loop, last, checkpoints, told)
            plans, state = plans | loop.plans, loop.state
            checkpoints.write(state, loop.plans)
    elif resume is not None and not stored:
        checkpoints.write(state, resume.plans)
    return Run(
        recipe=recipe,
        axes=grid.axes,
        final=replace(population, theta=state.theta, buffers=state.buffers),
        history=History.of(problem, grid.axes, state, (*_notes(plans), *dict.fromkeys(slices.notes))),
        diverged_at=state.diverged_at.cpu().numpy(),
        plans={name: used for name, used in plans.items() if isinstance(used, Plan)},
        seconds=time.perf_counter() - clock,
        state=state,
        grid=grid,
        order=DataOrder.of(recipe.batch_size, grid.trained_on(len(problem.data.train))),
        places=slices.places,
    )


def _advanced(loop: Loop, last: int, checkpoints: Checkpoints, told: Watcher) -> Loop:
    """The loop after its last step; begun anew, looped, where an audit found that stacked members are others."""
    try:
        loop.advance(last, checkpoints, told)
    except StackedDiffers as found:
        loop = _anew(loop, found.reason, checkpoints)
        loop.advance(last, checkpoints, told)
    return loop


def _anew(loop: Loop, reason: str, checkpoints: Checkpoints) -> Loop:
    """The loop before its first step, looped; this is stored, and said."""
    loop = loop.anew(f"{reason}; {ANEW}")
    checkpoints.write(loop.state, loop.plans)
    warnings.warn(f"{loop.plans['gradient'].reason}.", stacklevel=4)
    return loop


def _found_meanwhile(problem: Problem, plans: Mapping[str, Plan | str], *, goes_on: bool) -> str:
    """What audits of other work found since the first steps of a run that goes on, if these were stacked."""
    stacked = any(isinstance(plan, Plan) and plan.mode == "stacked" for plan in plans.values())
    return problem.unstacked if goes_on and stacked else ""


def _notes(plans: Mapping[str, Plan | str]) -> tuple[str, ...]:
    """What an audit found, once."""
    reasons = [plan.reason for plan in plans.values() if isinstance(plan, Plan)]
    return tuple(dict.fromkeys(reason for reason in reasons if reason.endswith((ANEW, ALL_THE_SAME))))


def _observers(observe: Observer | Sequence[Observer]) -> Sequence[Observer]:
    observers = [observe] if callable(observe) else observe
    check_type("train observe", observers, Sequence, "a function of (step, population), or a list of them")
    for observer in observers:
        check_type("train observe", observer, Callable, "a function of (step, population), or a list of them")
        check_count("every of what train observes with", getattr(observer, "every", 1))
    return observers


def _plans(plan: Plan | str | Mapping[str, Plan]) -> dict[str, Plan | str]:
    if isinstance(plan, Plan | str):
        return {"gradient": plan, "outputs": plan}
    check_type("train plan", plan, Mapping, '"auto", "stacked", "looped", a Plan, or the plans of a run')
    for name in plan:
        check_choice("What train plan is for", name, ("gradient", "outputs"))
    return dict(plan)


def _check_same(recipe: Recipe, seeds: list[int], tables: Mapping[str, Tensor | None], resume: Run) -> None:
    if resume.recipe != recipe or seeds != resume.grid.given_seeds:
        msg = "resume must be a run of the same recipe and seeds; start=run.final begins a new run from its members."
        raise UsageError(msg)
    for name, table in tables.items():
        kept = getattr(resume.grid, name)
        if table is None or (kept is not None and torch.equal(table, kept)):
            continue
        whose = f"the run's {name}, and these are others"
        if kept is None:
            whose = f"a run that has no {name} of its own: its members have all of them"
        msg = f"resume goes on with {whose}; leave out {name}, or leave out resume."
        raise UsageError(msg)
