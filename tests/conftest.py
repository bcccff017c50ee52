"""A study that is made up, for the tests of what runs, reports and prints studies."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest

NASTY = "</script><script>alert('x')</script> & <b>bold</b>"


@pytest.fixture
def nasty():
    """Text that would run, if it were not escaped."""
    return NASTY


@pytest.fixture
def fake_study():
    """Three claims: one holds, one fails, one has an interval without a number; figures of two and three dimensions."""
    from thalweg.claims import Claim, Finding, greater, less, within
    from thalweg.figures import Axis, Bars, Figure, Line, SurfacePlot
    from thalweg.results import Cost, Provenance, Reading
    from thalweg.statistics import Interval
    from thalweg.studies import Experiment, Study

    claims = (
        Claim("FK1", "Momentum is faster.", "Momentum accelerates.", greater(1, worth=1.1), "ratio of steps"),
        Claim("FK2", f"Fractions are fractions {NASTY}.", "Not always.", within(0.5, 1), "fraction", f"It is {NASTY}."),
        Claim("FK3", "Nothing is known.", "All is known.", less(0), "units"),
    )

    def run(lab):
        x = np.linspace(0, 1, 5)
        line = Figure.of(
            "A line", (Line(x, x**2, low=x**2 - 0.1, high=x**2 + 0.1, label="loss"),), Axis("t"), Axis("loss")
        )
        bars = Figure.of("Bars", (Bars(("a", "b"), [1.0, 2.0]),), Axis("rule"), Axis("steps"), caption=NASTY)
        row = Figure.row([line, bars], title="Two panels")
        bowl = Figure.of("A bowl", (SurfacePlot(x, x, np.add.outer(x, x)),), Axis("a"), Axis("b"), z=Axis("loss"))
        reading = Reading(
            "steps",
            {"steps": np.array([[3.0, 4.0], [1.0, 2.0]])},
            {"steps": ("rule", "seed")},
            coordinates={"rule": ["sgd", "momentum"]},
            units={"steps": "steps"},
            sample_size=2,
            cost=Cost(1.5, 10, 10),
            provenance=Provenance.here(lab.seed),
        )
        numbers = {"steps": np.array([3.5, 1.5]), "seeds": 2, "note": NASTY, "nothing": math.nan}
        yield Finding(
            claims[0].judge(Interval(2.0, 1.5, math.inf, 5, "made up"), numbers=numbers),
            figures=(row,),
            readings=(reading,),
            sentences=(f"Momentum needs half the steps {NASTY}.",),
        )
        yield Finding(claims[1].judge(Interval(0.2, 0.1, 0.3, 8, "made up")), figures=(bowl,))
        yield Finding(claims[2].judge(Interval(math.nan, math.nan, math.nan, 1, "made up")))

    return Study("fake", f"A study {NASTY}", (Experiment(claims, run),))


@pytest.fixture
def study_of_parts():
    """A claim with two parts, the lecture's wording and a budget that was not reached, and one that a part decides."""
    from thalweg.claims import Claim, Part, greater, less, within
    from thalweg.statistics import Interval
    from thalweg.studies import Study, decides

    short = Claim(
        "FP1",
        "Both fall.",
        f"All falls {NASTY}.",
        greater(0),
        "nats",
        parts=(
            Part("early", f"At first it falls {NASTY}.", greater(0), "nats early"),
            Part("late", "Later it does not.", within(-1, 1), "nats late", decides=False),
        ),
        lecture_rule=greater(2),
        budget={"steps": 1_000},
    )
    weak = Claim("FP2", "It is so.", "It is.", greater(0), "units", parts=(Part("side", "So too.", less(0), "units"),))
    above = Interval(1.0, 0.5, 1.5, 5, "made up")

    @decides(short, weak)
    def experiment(lab):
        parts = {"early": Interval(3.0, 2.5, 3.5, 6, "other"), "late": Interval(2.0, 1.5, 2.5, 7, "made up")}
        yield lab.finding(above, claim=short, parts=parts, lecture=above, ran={"steps": 100})
        yield lab.finding(above, claim=weak, parts={"side": above})

    return Study("parts", "Claims with parts", (experiment,))


@pytest.fixture
def catalog_of_one(fake_study, monkeypatch):
    """The catalog with the made-up study alone; calling it puts another in its place."""
    from thalweg.studies import catalog

    module = SimpleNamespace(STUDY=fake_study)
    monkeypatch.setitem(sys.modules, "fake_study_module", module)
    monkeypatch.setattr(catalog, "MODULES", {"fake": "fake_study_module"})

    def replace(study):
        module.STUDY = study

    return replace
