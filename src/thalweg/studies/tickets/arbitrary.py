"""LTH3: which weights a ticket keeps matters, and not only how many of each layer."""

from thalweg.claims import Claim, Finding, greater
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.tickets.setting import POINTS, UNIT, Setting
from thalweg.tickets import Search

CLAIM = Claim(
    id="LTH3",
    statement="On MNIST-1D a ticket's mask is worth more than the same numbers of weights at random places of each "
    "layer, with the original initialization.",
    lecture="Most tickets lose (bad subnetworks), a few win; training finds which.",
    rule=greater(0),
    unit=UNIT,
)


def found(lab: Lab, search: Search, setting: Setting) -> Finding:
    """The ticket beside its mask shuffled in every layer."""
    accuracy = POINTS * search["test_accuracy"][:, setting.scored - 1]
    better = interval.difference(*accuracy)
    return lab.finding(
        better,
        claim=CLAIM,
        figures=search.figure(),
        readings=[search.reading],
        sentences=[
            f"At {1 - search.densities[setting.scored - 1]:.0%} sparsity the ticket is {better} points better than its "
            "mask shuffled in every layer."
        ],
    )
