"""The race on functions of two variables, against torch's optimizers and planted ways."""

import numpy as np
import pytest
import torch

from thalweg.errors import UsageError
from thalweg.optim import SGD, Adam, Momentum, RMSprop
from thalweg.tuning import COURSES, race
from thalweg.tuning.race import best, paths

TORCHS = {
    "SGD": (SGD(1.0), lambda p, lr: torch.optim.SGD(p, lr)),
    "momentum": (Momentum(1.0), lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)),
    "RMSprop": (RMSprop(1.0), lambda p, lr: torch.optim.RMSprop(p, lr)),
    "Adam": (Adam(1.0), lambda p, lr: torch.optim.Adam(p, lr)),
}


# Nesterov's is tested with the rules: torch has it reformulated.
@pytest.mark.parametrize("name", TORCHS)
def test_the_racers_go_where_torchs_go(name):
    rates = np.array([1e-3, 1e-2])
    rule, make = TORCHS[name]
    found = paths(rule, COURSES, rates, 30)
    for course_name, course in COURSES.items():
        for column, rate in enumerate(rates):
            at = torch.tensor([course.start], dtype=torch.float64, requires_grad=True)
            peer = make([at], float(rate))
            for _ in range(30):
                peer.zero_grad()
                course.function(at).sum().backward()
                peer.step()
            np.testing.assert_allclose(found[course_name][-1, column], at.detach()[0].numpy(), rtol=1e-9)


def test_the_minima_of_the_courses_are_least():
    draw = np.random.default_rng(0)
    for course in COURSES.values():
        around = torch.tensor(course.minima, dtype=torch.float64)
        gradient = torch.func.grad(lambda t, c=course: c.function(t).sum())(around)
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0)
        assert course.above(draw.uniform(-4, 4, (10_000, 2))).min() >= 0


def test_the_best_racer_is_the_soonest_that_stays_near():
    course = COURSES["ravine"]
    soon, late, leaving = np.full((3, 11, 2), 0.0)
    soon[:3], late[:6], leaving[:1], leaving[9] = -4, -4, -4, -4
    assert best(course, np.stack([late, soon, leaving], axis=1)) == 1
    assert best(course, np.full((11, 2, 2), np.nan)) in (0, 1)


def test_a_race_keeps_the_way_of_the_best_rate_and_draws_it():
    rates = np.array([1e-3, 1e-2, 0.2])  # the last diverges in the ravine
    ravine = {"ravine": COURSES["ravine"]}
    found = race({"SGD": SGD(1.0)}, courses=ravine, rates=rates, steps=50)
    assert found.rates == {"SGD": {"ravine": 1e-2}}
    every = paths(SGD(1.0), ravine, rates, 50)["ravine"]
    np.testing.assert_array_equal(found["path"][0, 0], every[:, 1])
    assert [mark.label for mark in found.figure().panels[0].marks if hasattr(mark, "label")][-1] == "minimum"


def test_a_race_of_nobody_is_refused():
    with pytest.raises(UsageError, match="needs rules"):
        race({})
