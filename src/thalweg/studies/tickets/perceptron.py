"""The claims that look at the same perceptrons, which are trained once."""

from collections.abc import Iterator

from thalweg import tickets
from thalweg.claims import Finding
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.studies.tickets import arbitrary
from thalweg.studies.tickets.setting import LARGE, SMALL, problem_of, recipe_of


@decides(arbitrary.CLAIM)
def experiment(lab: Lab) -> Iterator[Finding]:
    """Search for tickets beside their controls, and compare."""
    setting = lab.pick(quick=SMALL, full=LARGE)
    problem, seeds = problem_of(lab, setting.width), lab.seeds(quick=6, full=10).scored
    found = tickets.search(
        problem,
        recipe_of(setting.steps),
        seeds=seeds,
        rounds=setting.scored,
        keep=setting.keep,
        arms=("ticket", "shuffled"),
        progress=lab.labelled("tickets"),
    )
    yield arbitrary.found(lab, found, setting)
