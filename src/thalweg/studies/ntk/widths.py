"""NTK2 to NTK4 from the same networks: what each is before training, how far training moves it, what it answers then.

Settings were looked at on the seeds of the labs 500 and above, on which nothing is scored.
"""

from collections.abc import Iterator

from thalweg.claims import Finding
from thalweg.studies.lab import Lab
from thalweg.studies.ntk import closed_form, drift, initialization, wide
from thalweg.studies.study import decides

WIDTHS = {"quick": (64, 256, 1_024), "full": (64, 128, 256, 512, 1_024, 2_048)}
DEEPER = {"quick": (), "full": (64, 128, 256, 512)}  # of two hidden layers


@decides(initialization.CLAIM, drift.CLAIM, closed_form.CLAIM)
def experiment(lab: Lab) -> Iterator[Finding]:
    """Train networks of every width on their own digits, at one rate, and compare them with kernels."""
    seeds = lab.seeds(quick=16, full=20).scored
    widths = dict.fromkeys(wide.ARMS, WIDTHS[lab.scale])
    if DEEPER[lab.scale]:
        widths |= dict.fromkeys(wide.DEEPER, DEEPER[lab.scale])
    all_trained = wide.all_of(lab, seeds, widths, lab.pick(quick=60, full=100))
    yield initialization.found(lab, all_trained)
    yield drift.found(lab, all_trained)
    yield closed_form.found(lab, all_trained)
