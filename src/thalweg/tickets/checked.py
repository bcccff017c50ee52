"""What every search needs of its recipe before it trains, and of what it trained."""

from collections.abc import Sequence

from thalweg.errors import UsageError, check_type
from thalweg.randomness import listed
from thalweg.training import MemberGrid, Recipe, Run


def checked_seeds(what: str, recipe: Recipe, seeds: int | Sequence[int]) -> list[int]:
    """The seeds one by one, where the recipe trains one network for each.

    Raises:
        UsageError: no recipe, no seeds, or a recipe with sweeps, whose members would be taken for seeds.
    """
    check_type(f"{what} recipe", recipe, Recipe, "a Recipe")
    given = listed(what, seeds)
    if not given:
        msg = f"{what} needs at least one seed; got {seeds!r}."
        raise UsageError(msg)
    swept = [name for name in MemberGrid(recipe, given[:1]).axes if name != "seed"]
    if swept:
        msg = (
            f"{what} trains one network a seed; leave sweeps out of the recipe (it sweeps {', '.join(swept)}) and call "
            "it once for each value."
        )
        raise UsageError(msg)
    return given


def diverged(run: Run, seeds: Sequence[int], arm: str | None = None) -> list[int]:
    """The seeds whose networks diverged, of a run or of one arm of it."""
    rows = run.diverged_at if arm is None else run.diverged_at[run.select(arm=arm)]
    return [seed for seed, at in zip(seeds, rows, strict=True) if at >= 0]


def check_trained(what: str, run: Run, seeds: Sequence[int]) -> None:
    """Raise UsageError for networks that diverged: their weights are those before, and their scores say nothing."""
    lost = diverged(run, seeds)
    if lost:
        msg = (
            f"{what} cannot score networks that diverged: {_named(lost)} did. Train at a smaller rate, or leave "
            f"{'it' if len(lost) == 1 else 'them'} out."
        )
        raise UsageError(msg)


def _named(seeds: Sequence[int]) -> str:
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
