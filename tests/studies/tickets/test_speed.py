"""What is shown beside LTH8, of a search that is as short as can be: what is charged, and forms that are not there."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

import thalweg as tw
from thalweg.studies import Lab
from thalweg.studies.tickets import hardware, setting, speed
from thalweg.studies.tickets.setting import SMALL, recipe_of

LAB = Lab("full", 500, progress=None).on((hardware.CLAIM,))
STEPS = 12


@pytest.fixture
def short() -> Iterator[pytest.MonkeyPatch]:
    """Few signals, narrow networks, few steps; times that are made up."""
    drawn = replace(tw.data.mnist1d(train=200, test=100), notes=("made up",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setting, "signals", lambda **_: drawn)
        patch.setattr(speed, "SMALL", replace(SMALL, width=10, steps=STEPS))
        patch.setattr(speed, "RECIPE", replace(recipe_of(STEPS), evaluate=4))
        patch.setattr(speed, "LEVELS", (2, 3))
        patch.setattr(speed, "gain_of", lambda problem, search, level, arm: np.nan if arm == "ticket" else 2.0)
        patch.setattr(speed, "seconds_of_a_step", made_up)
        yield patch


def made_up(modules: dict[str, nn.Module]) -> dict[str, float]:
    return dict(zip(modules, (1.0, 3.0, 0.5), strict=True))


def test_a_ticket_is_charged_the_trainings_that_found_it_and_its_own(short: pytest.MonkeyPatch) -> None:
    """Of level 2: the dense run and one round, then the ticket."""
    short.setattr(speed, "SLACK", 1.0)  # reached at the first evaluation, before a step
    _, bars = speed.beside(LAB).figures
    found = dict(zip(bars.panels[0].marks[0].labels, bars.panels[0].marks[0].values.tolist(), strict=True))
    assert found["ticket and its search"] - found["ticket"] == 2 * STEPS * 1.0
    assert found["dense"] == found["small dense"] == 0


@pytest.mark.usefixtures("short")
def test_a_form_that_is_not_there_is_no_form_as_fast_as_dense() -> None:
    found = speed.beside(LAB)
    assert "not to be timed in CSR" in found.sentences[0]
    assert "2.0 times as fast as dense (batch 256)" in found.sentences[0]
    found.figures[0].to_matplotlib()


def test_it_is_the_setting_of_the_study() -> None:
    plain = recipe_of(SMALL.steps)
    assert replace(speed.RECIPE, evaluate=plain.evaluate) == plain
