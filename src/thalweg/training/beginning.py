"""The members of a run before its first step: their networks, masks and moments, and the step at which each begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.optim.masking import masked_state
from thalweg.optim.updater import new_state
from thalweg.population import Population, Problem
from thalweg.training.member_grid import MemberGrid
from thalweg.training.origin import Origin
from thalweg.training.recipe import Recipe
from thalweg.training.start import UPDATES, DataOrder, Start

Starts = Start | Population | Mapping[str, Start | Population | None] | None
Masks = Tensor | Mapping[str, Tensor | None] | None
_START = "a Start such as run.at(200), or a Population such as problem.population(modules)"
_MASK = "a boolean tensor (parameters,) or (members, parameters)"


@dataclass(frozen=True, eq=False)
class Arm:
    """Where the members of one arm begin: None is an initialization by seed, and no mask."""

    name: str | None
    start: Start | None
    mask: Tensor | None

    def origin(self, *, paired: bool) -> Origin:
        """The networks it starts from, without their numbers."""
        return Origin(self.name, None if self.start is None else len(self.start), paired)

    @property
    def called(self) -> str:
        """What an error calls its start."""
        return "The start" if self.name is None else f"The start of arm {self.name!r}"

    @property
    def mask_called(self) -> str:
        """What an error calls its mask."""
        return "A mask" if self.name is None else f"The mask of arm {self.name!r} (names are those of arms)"


@dataclass(frozen=True, eq=False)
class Beginning:
    """All members before the first step.

    Args:
        population: in memory of its own.
        slots: what the rule remembers (see `optim.updater.new_state`).
        steps: at which each member begins: (members,).
        fresh_since: the step from which its moments count their updates: that of the beginning, or where a start keeps
            them as many steps before as they have seen updates: (members,).
    """

    population: Population
    slots: dict[str, Tensor]
    steps: Int64[Tensor, " members"]
    fresh_since: Int64[Tensor, " members"]

    def copy(self) -> "Beginning":
        """The same in memory of its own."""
        slots = {name: matrix.clone(memory_format=torch.contiguous_format) for name, matrix in self.slots.items()}
        return Beginning(self.population.copy(), slots, self.steps.clone(), self.fresh_since.clone())

    def kept(self) -> "Beginning":
        """A copy to be copied from, in which what the rule does not remember yet takes no memory."""
        slots = {
            name: matrix.clone() if bool(matrix.any()) else matrix.new_zeros(()).expand(matrix.shape)
            for name, matrix in self.slots.items()
        }
        return Beginning(self.population.copy(), slots, self.steps.clone(), self.fresh_since.clone())


def arms_of(start: Starts, mask: Masks) -> list[Arm]:
    """The arms that starts and masks by name make, or the single one without a name.

    Raises:
        UsageError: names that are not those of the other, or what is neither a start nor a mask.
    """
    named = [given for given in (start, mask) if isinstance(given, Mapping)]
    names: list[str | None] = list(dict.fromkeys(name for given in named for name in given)) if named else [None]
    for given in named:
        if set(given) != set(names) or not given:
            msg = (
                "Starts and masks by name must have the same names, at least one: those of the arms; got "
                f"{' and '.join(str(list(one)) for one in named)}."
            )
            raise UsageError(msg)
    if any(not isinstance(name, str | None) for name in names):
        msg = f"Arms are named by text; got {names}."
        raise UsageError(msg)
    arms = []
    for name in names:
        one = start[name] if isinstance(start, Mapping) else start  # type: ignore[index]
        kept = mask[name] if isinstance(mask, Mapping) else mask  # type: ignore[index]
        check_type("train start", one, (Start, Population, type(None)), _START)
        check_type("train mask", kept, (Tensor, type(None)), _MASK)
        arms.append(Arm(name, Start(one) if isinstance(one, Population) else one, kept))
    return arms


def beginning(problem: Problem, recipe: Recipe, grid: MemberGrid, arms: Sequence[Arm]) -> Beginning:
    """The members where they begin.

    Raises:
        UsageError: a start of another architecture, optimizer, data order or test examples, or beyond the recipe's
            last step; a mask that does not fit.
    """
    for number, arm in enumerate(arms):
        if arm.start is not None:
            _check(problem, recipe, arm, arm.start)
            _check_order(problem, grid, number, arm, arm.start)
            _check_tested(grid, number, arm, arm.start)
    population = _gathered(problem, grid, arms)
    masks = [_mask_rows(grid, number, arm, population) for number, arm in enumerate(arms)]
    if any(mask is not None for mask in masks):
        mask = torch.ones_like(population.theta, dtype=torch.bool)
        for number, one in enumerate(masks):
            if one is not None:
                mask[torch.from_numpy(grid.arms == number)] = one
        population = population.with_mask(mask)
    slots = new_state(recipe.optimizer, population.theta, problem.layout)
    steps = torch.tensor([0 if arm.start is None else arm.start.step for arm in arms])[grid.arms]
    fresh_since = steps.clone()
    for number, arm in enumerate(arms):
        if arm.start is not None and arm.start.state is not None:
            members = torch.from_numpy(np.flatnonzero(grid.arms == number))
            rows = torch.from_numpy(grid.rows)[members]
            for name, matrix in _fitting(arm, arm.start.state, slots, recipe).items():
                slots[name][members] = matrix[rows].to(slots[name])
            seen = arm.start.state.get(UPDATES)
            fresh_since[members] = 0 if seen is None else arm.start.step - seen.flatten().cpu()[rows].to(steps)
    if population.mask is not None:
        masked_state(recipe.optimizer, slots, population.mask, problem.layout)
    return Beginning(population, slots, steps, fresh_since)


def _gathered(problem: Problem, grid: MemberGrid, arms: Sequence[Arm]) -> Population:
    """Every member's network, in memory of its own."""
    fresh = problem.initialize(grid.given_seeds) if any(arm.start is None for arm in arms) else None
    sources = [fresh if arm.start is None else arm.start.population for arm in arms]
    known = list({id(source): source for source in sources if source is not None}.values())
    firsts = np.cumsum([0, *map(len, known)])
    offsets = np.array([firsts[next(i for i, one in enumerate(known) if one is source)] for source in sources])
    places = (offsets[grid.arms] + grid.rows).tolist()
    whole = known[0] if len(known) == 1 else Population.concatenate(known)
    if places == list(range(len(whole))):
        return whole if known[0] is fresh else whole.copy()
    return whole[places]


def _check(problem: Problem, recipe: Recipe, arm: Arm, start: Start) -> None:
    try:
        problem.check(start.population)
    except UsageError as error:
        msg = f"{arm.called} does not fit the problem: {error}"
        raise UsageError(msg) from error
    if start.step >= recipe.steps:
        msg = (
            f"{arm.called} stands at step {start.step}, and the recipe has {recipe.steps} steps, counted from 0; write "
            "Start(start.population) to begin at step 0, or a recipe of more steps."
        )
        raise UsageError(msg)


def _check_order(problem: Problem, grid: MemberGrid, number: int, arm: Arm, start: Start) -> None:
    own = DataOrder.of(grid.recipe.batch_size, grid.trained_on(len(problem.data.train)))
    if start.order is None or start.step == 0 or own is None:
        return
    if own != start.order:
        msg = (
            f"{arm.called} stands at step {start.step} of batches of {start.order.batch_size} of "
            f"{start.order.examples:,} examples, and these are {own.batch_size} of {own.examples:,}: that step is "
            "another place in the data. Write replace(start, order=None) if it is meant so."
        )
        raise UsageError(msg)
    if not _same(grid, number, start.examples, grid.examples):
        theirs_are = "on all training examples" if start.examples is None else "on examples of its members' own"
        msg = (
            f"{arm.called} stands at step {start.step} of training {theirs_are}, and these are others: that step is "
            "another place in the data. Give the same to train, such as examples=start.examples, or write "
            "replace(start, order=None) if it is meant so."
        )
        raise UsageError(msg)


def _check_tested(grid: MemberGrid, number: int, arm: Arm, start: Start) -> None:
    if start.test_examples is not None and not _same(grid, number, start.test_examples, grid.test_examples):
        ours_are = "all of the test set" if grid.test_examples is None else "others"
        msg = (
            f"{arm.called} is of members with test examples of their own, and these are {ours_are}: among them may be "
            "some that a member was trained on. Give the same to train, such as test_examples=start.test_examples "
            "with paired=True, or write replace(start, test_examples=None) if it is meant so."
        )
        raise UsageError(msg)


def _same(
    grid: MemberGrid,
    number: int,
    theirs: Int64[Tensor, "start_members n"] | None,
    ours: Int64[Tensor, "seeds n"] | None,
) -> bool:
    """Whether every member of an arm has the examples that its network of the start has; None is all."""
    if theirs is None or ours is None:
        return theirs is ours
    members = grid.arms == number
    return torch.equal(theirs[torch.from_numpy(grid.rows[members])], ours[torch.from_numpy(grid.places[members])])


def _fitting(arm: Arm, state: Mapping[str, Tensor], slots: Mapping[str, Tensor], recipe: Recipe) -> dict[str, Tensor]:
    """The start's state, if it is one of this optimizer."""
    own = {name: matrix for name, matrix in state.items() if name != UPDATES}
    if {name: tuple(matrix.shape[1:]) for name, matrix in own.items()} == {
        name: tuple(matrix.shape[1:]) for name, matrix in slots.items()
    }:
        return own
    kept, wanted = (", ".join(sorted(one)) or "nothing" for one in (own, slots))
    differ = f"it keeps {kept}, and {type(recipe.optimizer).__name__} keeps {wanted}"
    if kept == wanted:
        differ = f"its {kept} are of other shapes"
    msg = f"{arm.called} has another optimizer's state: {differ}. Write replace(start, state=None) for fresh moments."
    raise UsageError(msg)


def _mask_rows(
    grid: MemberGrid, number: int, arm: Arm, population: Population
) -> Bool[Tensor, "members parameters"] | None:
    """An arm's mask for each of its members: given for all, for each network of the start, or for each member."""
    mask = arm.mask
    if mask is None:
        return None
    own = np.flatnonzero(grid.arms == number)
    rows, parameters = grid.rows[own], population.layout.parameters
    networks = len(grid.given_seeds) if arm.start is None else len(arm.start)
    lengths = sorted({1, networks, len(own)})
    if (
        mask.dtype != torch.bool
        or mask.shape[-1:] != (parameters,)
        or mask.ndim > 2
        or (mask.ndim == 2 and len(mask) not in lengths)
    ):
        shapes = " or ".join([f"({parameters},)", *(f"({length}, {parameters})" for length in lengths if length > 1)])
        msg = (
            f"{arm.mask_called} is boolean of shape {shapes} (one row a member), got "
            f"{str(mask.dtype).removeprefix('torch.')} {tuple(mask.shape)}."
        )
        raise UsageError(msg)
    mask = mask.to(population.theta.device)
    if mask.ndim == 1 or len(mask) == 1:
        return mask.expand(len(own), parameters)
    return mask if len(mask) == len(own) else mask[torch.from_numpy(rows)]
