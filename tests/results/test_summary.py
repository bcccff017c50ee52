"""What results tell of themselves at a prompt and in a notebook."""

from dataclasses import dataclass
from html.parser import HTMLParser

import numpy as np
import pytest

import thalweg as tw
from thalweg.results import Reading, Result, Table
from thalweg.results.summary import called, spanned

LONGEST = 260  # two lines of a wide terminal


class Cells(HTMLParser):
    """The text of every cell, and which tags there are."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data):
        if self.cells:
            self.cells[-1] += data


@pytest.fixture(scope="module")
def problem():
    return tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())


@pytest.fixture(scope="module")
def run(problem):
    rates = tw.sweep.log(1e-3, 1e-1, 5)
    recipe = tw.Recipe(tw.optim.Momentum(rates), steps=6, batch_size=64, snapshot=(2,), snapshot_state=True)
    return tw.train(problem, recipe, seeds=5)


@pytest.fixture(scope="module")
def things(problem, run):
    hessian = tw.curvature.hessian(problem, run.final[0])
    return {
        "problem": problem,
        "run": run,
        "history": run.history,
        "population": run.final,
        "start": run.at(2),
        "recipe": run.recipe,
        "rule": run.recipe.optimizer,
        "wrapper": tw.optim.Averaged(tw.optim.Muon()),
        "explanation": tw.optim.explain(tw.optim.AdamW()),
        "surface": tw.landscape.line(problem, run.final[0], resolution=3),
        "trace": tw.spectra.trace(hessian, products=4),
        "density": tw.spectra.density(hessian, steps=3, probes=2),
        "race": tw.tuning.race({"SGD": tw.optim.SGD(1.0)}, rates=[0.001, 0.01], steps=5),
        "modes": tw.tuning.modes({"SGD": tw.optim.SGD(0.5)}, eigenvalues=[0.4, 1.0], steps=2),
    }


def test_every_repr_is_a_line_or_two(things) -> None:
    assert {name: repr(thing) for name, thing in things.items() if len(repr(thing)) > LONGEST} == {}
    assert [name for name, thing in things.items() if "\n" in repr(thing)] == []


def test_all_of_them_are_tables_in_a_notebook(things) -> None:
    for name, thing in things.items():
        cells = Cells(thing._repr_html_())
        assert "table" in cells.tags, name
        assert len(thing._repr_html_()) < 20_000, name


def test_a_run_tells_its_members_axes_steps_divergence_and_metrics(run) -> None:
    told = repr(run)
    for fact in ("members 25: 5 lr, 5 seed", "steps 6 of 6", "diverged none", "test_loss", "nats"):
        assert fact in told
    cells = Cells(run._repr_html_()).cells
    assert "... 5 more rows ..." in cells
    assert {"lr", "seed", "test_accuracy"} <= set(cells)


def test_a_run_tells_who_diverged(problem) -> None:
    run = tw.train(problem, tw.Recipe(tw.optim.SGD([0.1, 1e30]), steps=4, batch_size=64))
    assert "diverged 1;" in repr(run)
    assert "1 of 2 not finite" in repr(run)
    assert "diverged_at" in Cells(run._repr_html_()).cells


def test_a_population_tells_its_mask_and_members_that_are_not_finite(problem) -> None:
    import torch

    population = problem.initialize(4)
    mask = torch.zeros(population.layout.parameters, dtype=torch.bool)
    mask[: len(mask) // 2] = True
    assert "50.0% active" in repr(population.with_mask(mask))
    theta = population.theta.clone()
    theta[1, 0] = torch.nan
    assert "members 4, 1 not finite" in repr(population.with_theta(theta))


def test_what_others_wrote_is_text(nasty) -> None:
    reading = Reading(nasty, {nasty: ["a", nasty]}, {nasty: (nasty,)}, units={nasty: nasty}, notes=(nasty,))
    for html in (Result(reading)._repr_html_(), Table({nasty: [nasty]})._repr_html_()):
        assert nasty not in html
        assert not {"script", "b"} & Cells(html).tags
        assert nasty in Cells(html).cells


def test_a_long_table_leaves_out_its_middle() -> None:
    table = Table({"n": np.arange(30)})
    cells = Cells(table._repr_html_()).cells
    assert cells == ["n", *map(str, range(10)), "... 10 more rows ...", *map(str, range(20, 30))]


def test_a_result_of_ones_own_prints_no_arrays() -> None:
    @dataclass(frozen=True, eq=False)
    class Own(Result):
        values: np.ndarray

    own = Own(Reading("loss", {"loss": [2.0, 1.0]}, {"loss": ("step",)}), np.arange(1000))
    assert repr(own) == "Own(loss; loss (step 2): 1 to 2)"


def test_of_many_arrays_a_line_tells_the_first() -> None:
    reading = Reading("all", {name: 1.0 for name in "abcdef"})
    assert repr(reading) == "Reading(all; a: 1; b: 1; c: 1; and 3 more)"


def test_from_where_to_where_values_go() -> None:
    assert spanned([1.0, 1.0]) == "1"
    assert spanned([np.nan, np.inf], "nats") == "2 of 2 not finite"
    assert spanned([]) == "none"
    assert spanned([0.5, 1], "fraction") == "0.5 to 1"


def test_a_rule_is_the_call_that_makes_it() -> None:
    rule = tw.optim.AdamW(0.01, beta1=0.8)
    assert repr(rule) == "AdamW(lr=0.01, beta1=0.8)"
    assert eval(repr(rule), vars(tw.optim)) == rule
    wrapped = tw.optim.Averaged(rule)
    assert eval(repr(wrapped), vars(tw.optim)) == wrapped
    recipe = tw.Recipe(tw.optim.SGD(0.1), steps=3, batch_size=8)
    assert repr(recipe) == called(recipe) == "Recipe(SGD(lr=0.1), steps=3, batch_size=8)"
    assert eval(repr(recipe), {**vars(tw.optim), "Recipe": tw.Recipe}) == recipe


def test_an_explanation_is_short_until_it_is_printed() -> None:
    words = tw.optim.explain(tw.optim.Muon())
    assert len(repr(words)) < 200
    assert "AdamW" in str(words)
    assert "AdamW (see .inside)" in Cells(words._repr_html_()).cells
