"""At which levels each arm of a search is trained."""

from collections.abc import Mapping, Sequence

from thalweg.errors import UsageError, check_choice, check_count
from thalweg.tickets.controls import ARMS, MORE_ARMS

ArmsWanted = str | Sequence[str] | Mapping[str, Sequence[int]]


def arm_levels(arms: ArmsWanted, rounds: int) -> dict[str, tuple[int, ...]]:
    """The levels of every arm, in the order of `ARMS` and `MORE_ARMS`; the ticket is trained at all of them.

    Args:
        arms: their names, each at all levels; or by name the levels.
        rounds: levels of the search.

    Raises:
        UsageError: no arms, one that does not exist, or a level that the search does not have.
    """
    every = tuple(range(1, rounds + 1))
    if isinstance(arms, Mapping):
        wanted = {name: tuple(sorted(set(at))) for name, at in arms.items()}
    else:
        wanted = dict.fromkeys((arms,) if isinstance(arms, str) else arms, every)
    known = (*ARMS, *MORE_ARMS)
    for name in wanted:
        check_choice("An arm of search", name, known)
    check_count("search arms", len(wanted))
    outside = {name: [one for one in at if one not in every] for name, at in wanted.items()}
    for name, levels in outside.items():
        if levels:
            msg = f"The search has levels 1 to {rounds}; {name!r} is asked for at {levels}."
            raise UsageError(msg)
    return {name: every if name == "ticket" else wanted[name] for name in known if name in {"ticket", *wanted}}
