"""What was found between checkpoints, in plain sentences with their numbers and thresholds."""

from collections.abc import Sequence

import numpy as np

from thalweg.connectivity.averaging import GREEDY, Averaged
from thalweg.connectivity.between_checkpoints import Pair
from thalweg.connectivity.between_curves import by_recipe
from thalweg.connectivity.between_verdicts import APART, CURVE, JOINED, NONE, PATHS, SAME, UNDECIDED, Threshold
from thalweg.results import Reading
from thalweg.training import Recipe

_SINGLY = 3  # pairs that have sentences of their own, those of 3 checkpoints
_SAYS = {
    "line": {
        JOINED: "joined by a line",
        APART: "not joined by a line",
        UNDECIDED: "whether a line joins them is undecided",
    },
    "line after aligning": {
        JOINED: "joined by a line once their units are aligned",
        APART: "not joined by a line after aligning their units either",
        UNDECIDED: "whether a line joins them after aligning is undecided",
    },
    "curve": {
        JOINED: "joined by a curve",
        APART: "not joined by the curve that was trained",
        UNDECIDED: "whether the curve joins them is undecided",
    },
}
_IS = {"better": "is better", "worse": "is worse"} | {"no difference shown": "shows no difference"}


def sentences_of(
    reading: Reading,
    threshold: Threshold,
    pairs: Sequence[Pair],
    averages: Averaged | None,
    held_out: str,
    recipe: Recipe,
) -> tuple[str, ...]:
    """All of them: of the pairs, of all pairs together, and of averages."""
    found = []
    if len(pairs) <= _SINGLY:
        for number in range(len(pairs)):
            found += _of_pair(reading, threshold, pairs[number], number, held_out, recipe)
    if len(pairs) > 1:
        found.append(_of_all(reading, threshold, pairs))
    if averages is not None:
        found += _of_averages(averages, held_out)
    return tuple(found)


def _of_pair(
    reading: Reading, threshold: Threshold, pair: Pair, number: int, held_out: str, recipe: Recipe
) -> list[str]:
    first, second = pair
    named, found = f"{first} and {second}", []
    if reading["verdict"][0, number] == SAME:
        return [f"{named}: the same network."]
    for path, name in enumerate(PATHS):
        word = str(reading["verdict"][path, number])
        if word != NONE:
            remedy = _remedy(reading, threshold, number, recipe) if name == CURVE and word == APART else ""
            found.append(f"{named}: {_SAYS[name][word]}{remedy}: {_barrier(reading, threshold, path, number)}.")
    if "disagreement" in reading.arrays:
        low, high = reading["disagreement, 95 %"][number]
        share = reading["disagreement"][number]
        found.append(f"{named}: {100 * share:.1f} % of answers differ on {held_out} ({_range(low, high)}).")
    return found


def _remedy(reading: Reading, threshold: Threshold, number: int, recipe: Recipe) -> str:
    """What may find a curve where the one that was trained joins nothing."""
    step = int(reading["curve diverged at"][number])
    if step >= 0:
        return f", which diverged at step {step:,} of {by_recipe(recipe)} (write recipe= with a smaller learning rate)"
    finite = np.isfinite(reading[f"{threshold.name} barrier"][PATHS.index(CURVE), 0, number])
    return " (a longer training may find one that does)" if finite else ""


def _barrier(reading: Reading, threshold: Threshold, path: int, number: int) -> str:
    """The barrier that decided, beside its threshold; and that on further examples."""
    name, on = f"{threshold.name} barrier", reading.coordinate("on").tolist()
    values, ends = reading[name][path, :, number], reading[f"{name}, 95 %"][path, 0, number]
    if not np.isfinite(values[0]):
        return f"the {threshold.name} on the way is not finite"
    share = reading["share of the line's loss barrier"][path, 0, number]
    part = f"; its loss barrier is {100 * share:.2g} % of the line's" if path and np.isfinite(share) else ""
    unknown = bool(np.isnan(ends).any())
    between = "against" if unknown else "and the interval holds"
    side = {JOINED: "below", APART: "above"}.get(str(reading["verdict"][path, number]), between)
    if threshold.name == "error":
        shown, limit = f"{100 * values[0]:.1f} points", f"{100 * threshold.worth:g}"
        interval, others = _range(*ends), [f"{100 * value:.1f} points" for value in values[1:]]
    else:
        shown, others = f"{values[0]:.3g} {threshold.unit}".strip(), [f"{value:.3g}" for value in values[1:]]
        limit = f"{threshold.worth * threshold.scale[number]:.3g}, {100 * threshold.worth:g} % of the mean loss of both"
        interval = f"95 % interval {ends[0]:.3g} to {ends[1]:.3g}"
    interval = "no interval" if unknown else interval
    further = "".join(f"; {value} on {other}" for value, other in zip(others, on[1:], strict=True))
    return f"{name} {shown} ({interval}) on {on[0]}, {side} {limit}{further}{part}"


def _of_all(reading: Reading, threshold: Threshold, pairs: Sequence[Pair]) -> str:
    """How many pairs each kind of path joins, by which threshold, and from where to where barriers are."""
    parts, name, on = [], f"{threshold.name} barrier", reading.coordinate("on").tolist()[0]
    for path, kind in enumerate(PATHS):
        words = reading["verdict"][path].tolist()
        tried = [place for place, word in enumerate(words) if word != NONE]
        if tried:
            joined = sum(words[place] in (JOINED, SAME) for place in tried)
            barriers = _ranging(reading[name][path, 0, tried], threshold)
            doubt = words.count(UNDECIDED)
            told = [f"{doubt} undecided"] * bool(doubt) + [barriers]
            parts.append(f"a {kind} {joined} of {len(tried)} ({'; '.join(told)})")
    limit = f"{100 * threshold.worth:g} " + ("points" if threshold.name == "error" else "% of the mean loss of both")
    joins = f"a path joins where the whole 95 % interval of its {name} on {on} is below {limit}"
    return f"Of {len(pairs)} pairs: joined by {', by '.join(parts)}; {joins}."


def _ranging(values: np.ndarray, threshold: Threshold) -> str:
    """From where to where barriers are."""
    finite = values[np.isfinite(values)]
    lost = f"{len(values) - len(finite)} not finite"
    if not len(finite):
        return lost
    scale, unit, digits = (100, "points", ".1f") if threshold.name == "error" else (1, threshold.unit, ".3g")
    low, high = (f"{scale * one:{digits}}" for one in (finite.min(), finite.max()))
    shown = f"barrier{'s' * (low != high)} {low}{f' to {high}' * (low != high)} {unit}".strip()
    return f"{shown}, {lost}" if len(finite) < len(values) else shown


def _of_averages(averages: Averaged, held_out: str) -> list[str]:
    """Of every way to make one answer of all networks, against the best of them."""
    name = "error" if "error" in averages.reading.arrays else "loss"
    unit, best = averages.reading.units.get("loss", ""), int(averages["best"])
    found, outcomes, compared = [], averages.outcomes(name), 0
    for way, outcome in outcomes.items():
        if way == GREEDY and averages["in the soup"].sum() == 1:
            found.append(f"A greedy soup takes one network, the best (checkpoint {best}): no average helps.")
            continue
        effect, compared = averages.effect(way, name), compared + 1
        article = "An" if way[0] in "ae" else "A"
        rival, many = f"that of the best (checkpoint {best})", f"on {effect.n:,} of {held_out}"
        scale, points, digits = (100, "points", ".1f") if name == "error" else (1, unit, ".3g")
        low, high = scale * effect.low, scale * effect.high
        if not np.isfinite(effect.estimate):
            found.append(f"{article} {way} is worse: its {name} is not finite, {many}.")
        elif effect.low == effect.high == 0:
            found.append(f"{article} {way} shows no difference: its {name} is {rival}, {many}.")
        else:
            size = f"{abs(scale * effect.estimate):{digits}} {points}".strip()
            side = "below" if effect.estimate < 0 else "above"
            interval = f"95 % interval of the difference {low:{digits}} to {high:{digits}}"
            found.append(f"{article} {way} {_IS[outcome]}: its {name} is {size} {side} {rival} {many}, {interval}.")
    if compared > 1:
        alone = f"Each of these {compared} is compared with the best on its own, at 95 %"
        found.append(f"{alone}: with several, one is more easily called better or worse by chance.")
    return found


def _range(low: float, high: float) -> str:
    return f"95 % interval {100 * low:.1f} to {100 * high:.1f}"
