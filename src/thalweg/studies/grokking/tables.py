"""GRK1, GRK2 and GRK4, which look at the same runs."""

from collections.abc import Iterator
from dataclasses import replace

from thalweg.claims import Finding
from thalweg.studies.grokking import algorithm, late, phases, rules, solvable
from thalweg.studies.grokking.setting import LARGE, MAIN, SMALL, Shared, trained
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides


def shared(lab: Lab) -> Shared:
    """Train all settings, and the nulls: random answers, and no decay."""
    # Six in place of the design's four, at quick scale and of the large table: findings say why, by `why_as_many`.
    seeds = lab.seeds(quick=6, full=8).scored
    settings = lab.pick(quick=((SMALL, 6),), full=((MAIN, 8), (LARGE, 6)))
    nulls, main = seeds[: lab.pick(quick=2, full=8)], settings[0][0]
    return Shared(
        tuple(trained(lab, setting, seeds[:count]) for setting, count in settings),
        trained(lab, main, nulls, "random"),
        trained(lab, replace(main, decay=0.0), nulls),
    )


@decides(late.CLAIM, phases.CLAIM, algorithm.CLAIM)
def experiment(lab: Lab) -> Iterator[Finding]:
    """Train on tables, and look at when they generalize, by which phases, and at what they computed in the end."""
    runs = shared(lab)
    beside = [solvable.figure(lab.seed), *([rules.figure(lab)] if lab.scale == "full" else [])]
    yield late.found(lab, runs, beside)
    yield phases.found(lab, runs)
    yield algorithm.found(lab, runs)
