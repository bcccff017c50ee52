"""What a ticket search costs, said before it begins."""

from collections.abc import Sequence
from dataclasses import dataclass

from thalweg.errors import check_count
from thalweg.guard import guarded
from thalweg.population import Problem
from thalweg.results import Summarized
from thalweg.tickets.arm_levels import ArmsWanted, arm_levels
from thalweg.tickets.controls import EQUAL_COST, FRESH
from thalweg.tickets.rewinding_step import Rewinding, rewinding_step
from thalweg.training import Recipe


@dataclass(frozen=True)
class SearchCost(Summarized):
    """What `search_cost` returns: what a search takes, counted in steps of one network.

    Args:
        trainings: of one network from its first to its last step, for every seed.
        steps: of all members together.
        ticket_trainings: those of the ticket alone, for every seed: what finding it costs without its controls.
        members: trained at once, at most.
        seeds: how many.
    """

    trainings: float
    steps: int
    ticket_trainings: float
    members: int
    seeds: int

    def facts(self) -> dict[str, str]:
        """In a sentence."""
        return {"": str(self)}

    def __str__(self) -> str:
        return (
            f"The search takes as many steps as {self.trainings:.3g} trainings for each of {self.seeds} seeds "
            f"({self.steps:,} steps in all, up to {self.members} networks at once); finding the ticket alone takes "
            f"{self.ticket_trainings:.3g} trainings."
        )


@guarded
def search_cost(
    problem: Problem,
    recipe: Recipe,
    *,
    seeds: int | Sequence[int] = 5,
    rounds: int = 12,
    rewind_to: Rewinding = 0,
    arms: ArmsWanted,
    retrain: str | Recipe = "weights",
) -> SearchCost:
    """What `search` with these arguments takes; nothing is computed.

        T + rounds (T - k)    for the ticket, which the dense run begins, and T - k a round for every other arm

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=200, batch_size=100)
    >>> cost = tw.tickets.search_cost(problem, recipe, rounds=3, arms=("ticket", "reinit", "shuffled"))
    >>> cost.trainings, cost.ticket_trainings, cost.steps, cost.members
    (10.0, 4.0, 10000, 15)

    Args:
        problem, recipe, seeds, rounds, rewind_to, arms, retrain: see `search`.
    """
    check_count("search rounds", rounds)
    levels = arm_levels(arms, rounds)
    count = seeds if isinstance(seeds, int) else len(seeds)
    k, steps = rewinding_step(problem, recipe, rewind_to), recipe.steps
    again = retrain.steps if isinstance(retrain, Recipe) else steps - k
    ticket = steps + rounds * again
    whole = ticket + k * sum(bool(names & set(levels)) for names in FRESH)
    for arm, at in levels.items():
        if arm != "ticket":
            whole += len(at) * (steps if arm == "small dense" else steps - k)
        if arm == EQUAL_COST:
            whole += sum(steps_to_find(recipe, level, k, retrain) for level in at)
    widest = max(sum(level in at for at in levels.values()) for level in range(1, rounds + 1))
    return SearchCost(whole / steps, whole * count, ticket / steps, count * widest, count)


def steps_to_find(recipe: Recipe, level: int, k: int, retrain: str | Recipe) -> int:
    """What finding the mask of a level takes, before the ticket is trained."""
    return recipe.steps + (level - 1) * (retrain.steps if isinstance(retrain, Recipe) else recipe.steps - k)
