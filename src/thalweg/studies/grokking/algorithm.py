"""GRK4: what the network computes in the end."""

from collections.abc import Sequence

import numpy as np
import torch

from thalweg.claims import Claim, Finding, Part, every_part, greater, less
from thalweg.evaluation import evaluate
from thalweg.figures import Axis, Bars, Figure
from thalweg.generalization import grokking
from thalweg.population import Population
from thalweg.statistics import CORRELATION, SHARE, Interval, interval
from thalweg.studies.grokking.setting import Array, Shared, Trained, by_setting, share_in_each, weakest, why_as_many
from thalweg.studies.lab import Lab

EXACT, ONE, RULE, PURE, REDUCED = "exact solution", "one frequency", "phase rule", "concentration", "projected"
USED, UNIT = "effective frequencies", "inverse participation ratio"
CLAIM = Claim(
    id="GRK4",
    statement="Neurons come to have one frequency, by the phase rule of an exact solution, and what they do at it is "
    "what generalizes; the network uses nearly all frequencies.",
    lecture="It learns the algorithm, by a few frequencies.",
    rule=every_part(),
    unit="effective number of frequencies / (p - 1)/2",
    bounds=SHARE,
    lecture_rule=less(0.5),
    corrected="Each neuron has one frequency, and the network nearly all of them; few are what transformers use.",
    parts=(
        Part(EXACT, "The constructed network has the logits of its formula on all pairs.", less(1e-9), "deviation"),
        Part(
            ONE, "Neurons have one frequency in A, B and W.", greater(0.9), "share of neurons, by power", bounds=SHARE
        ),
        Part(RULE, "phase_A + phase_B = phase_W.", greater(0.9), "mean cosine of the difference", bounds=CORRELATION),
        Part(PURE, "Neurons have little power at other frequencies.", greater(0.6), UNIT, bounds=SHARE),
        Part(
            REDUCED,
            "Reduced to one frequency a neuron, most networks of each setting are right on more than 95 % of held-out "
            "pairs.",
            greater(0.5),
            "share of networks, the setting with the least",
            bounds=SHARE,
        ),
    ),
)


def exact(p: int) -> tuple[float, dict[str, float]]:
    """The largest deviation of the constructed network's logits from their formula, and its accuracies on all pairs."""
    i, j = torch.cartesian_prod(torch.arange(p), torch.arange(p)).unbind(1)
    right, pairs = (i + j) % p, torch.stack([i, j], dim=1)
    wanted = 4.5 * (p / 2 * (torch.arange(p) == right[:, None]).double() - 0.5)
    found = {name: grokking.constructed(p, activation=name).module(0)(pairs).detach() for name in ("square", "relu")}
    accuracies = {name: float((logits.argmax(1) == right).double().mean()) for name, logits in found.items()}
    return float((found["square"] - wanted).abs().max()), accuracies


def analyzed(run: Trained, members: Population) -> dict[str, Array]:
    """The Fourier analysis of a network a seed, and the accuracy of the reduced one: (seeds,) each."""
    found = grokking.fourier(members, run.setting.p)
    reduced = [
        evaluate(problem, grokking.projected(members[seed], run.setting.p), "test")["accuracy"]
        for seed, problem in enumerate(run.problems)
    ]
    return {name: found[name] for name in (ONE, RULE, PURE, USED, "top 5")} | {REDUCED: torch.cat(reduced).numpy()}


def at_end(run: Trained) -> dict[str, Array]:
    """Of the networks after the last step."""
    return analyzed(run, run.run.final)


def at_start(run: Trained) -> dict[str, Array]:
    """Of the networks before the first step."""
    return analyzed(run, run.problems[0].initialize(run.run.axes["seed"].tolist()))


# The design scores the resultant of phase_A + phase_B - phase_W, which is long also where phases gather around an angle
# other than the 0 of the rule. The mean cosine is the part of it along 0, and never longer.
def intervals(found: dict[str, Array]) -> dict[str, Interval]:
    """Over seeds, of all that is a share or a cosine."""
    bounds = {ONE: SHARE, RULE: CORRELATION, PURE: SHARE}
    return {name: interval.mean(found[name], bounds=of) for name, of in bounds.items()}


def bar(found: dict[str, Array], names: Sequence[str], label: str) -> Bars:
    """Means over seeds, with error bars from the smallest to the largest."""
    low, mean, high = ([of(found[name]) for name in names] for of in (np.min, np.mean, np.max))
    return Bars(names, np.array(mean), low=np.array(low), high=np.array(high), label=label)


def found(lab: Lab, runs: Shared) -> Finding:
    """Analyze the neurons at the end, of sums and of nulls; each part of the weaker setting."""
    tables = [at_end(run) for run in runs.tables]
    judged, first = [intervals(one) for one in tables], tables[0]
    used = [one[USED] / ((run.setting.p - 1) / 2) for one, run in zip(tables, runs.tables, strict=True)]
    deviations = {run.setting.p: exact(run.setting.p) for run in runs.tables}
    worst = max(deviation for deviation, _ in deviations.values())
    nulls = {
        "random answers": at_end(runs.random),
        "no decay": at_end(runs.without),
        "at the start": at_start(runs.main),
    }
    beside = ", ".join(f"{null[PURE].mean():.2f} {name}" for name, null in nulls.items())
    names = (ONE, RULE, PURE, REDUCED)
    bars = [bar(of, names, label) for label, of in ({"sums": first} | nulls).items()]
    caption = f"{runs.main.setting.text}. Means over seeds, error bars from the smallest to the largest; neurons are "
    caption += "weighted by their power."
    neurons = grokking.fourier(runs.main.run.final[0], runs.main.setting.p).figure()
    return lab.finding(
        claim=CLAIM,
        parts={EXACT: Interval(worst, worst, worst, len(deviations), "computed, of every modulus")}
        | {name: weakest([one[name] for one in judged]) for name in judged[0]}
        | {REDUCED: share_in_each([one[REDUCED] > 0.95 for one in tables])},  # a share, as in GRK1: accuracies agree
        lecture=weakest([interval.mean(one, bounds=SHARE) for one in used], above=False),
        numbers={
            "accuracy of the exact solution": {f"p = {p}": of for p, (_, of) in deviations.items()},
            "share of the power in the top 5 frequencies": by_setting(runs, [one["top 5"] for one in tables]),
            "concentration of nulls": {name: null[PURE].tolist() for name, null in nulls.items()},
            "phase rule of nulls": {name: null[RULE].tolist() for name, null in nulls.items()},
        },
        figures=(Figure.of("Neurons at the end", bars, Axis(), Axis("share or cosine"), caption=caption), neurons),
        readings=[
            lab.reading(f"{name}, p = {run.setting.p}", one[name], {"seed": range(len(run.problems))})
            for run, one in zip(runs.tables, tables, strict=True)
            for name in (*names, USED)
        ],
        sentences=[
            f"At the end {first[ONE].mean():.1%} of the neurons, by power, have one frequency in A, B and W, with a "
            f"mean cosine of phase_A + phase_B - phase_W of {first[RULE].mean():.3f}, and their inverse participation "
            f"ratio is {first[PURE].mean():.2f} ({beside}).",
            f"Reduced to that frequency the networks are right on {first[REDUCED].mean():.1%} of held-out pairs. They "
            f"use {used[0].mean():.0%} of all frequencies, effectively, and the five strongest have "
            f"{first['top 5'].mean():.0%} of the power.",
            why_as_many(runs),
        ],
    )
