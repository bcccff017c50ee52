"""LAN4: networks are compared at one training loss."""

import numpy as np
import pytest

from thalweg.studies import Lab
from thalweg.studies.landscape import widths


def test_networks_of_different_widths_are_looked_at_where_their_losses_are_equal() -> None:
    found = [widths.measured(Lab(), width, [500, 501]) for width in (16, 64)]
    losses = np.array([one[widths.LOSS] for one in found])
    assert ((losses > 0.7 * widths.EQUAL) & (losses <= widths.EQUAL)).all()
    steps = np.array([one[widths.TAKEN] for one in found])
    assert (steps[0] > steps[1]).all()  # a narrow network takes longer to come there
    assert (steps % widths.EVERY == 0).all()


def test_networks_that_do_not_come_to_that_loss_decide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widths, "STEPS", dict.fromkeys(widths.STEPS, 10))
    (finding,) = widths.experiment(Lab())
    assert (finding.verdict.outcome, finding.verdict.reason) == ("undecided", "a number is missing")
    finding.figures[0].to_matplotlib()
