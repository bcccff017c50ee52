"""CON1, CON2 and CON4, which look at the same trained networks: pairs, and with a third one triples."""

from collections.abc import Iterator

from thalweg.claims import Finding
from thalweg.studies.connectivity import curve, lines
from thalweg.studies.connectivity.setting import shared
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides


@decides(lines.CLAIM, curve.CLAIM)
def experiment(lab: Lab) -> Iterator[Finding]:
    """Train the ends once, and look along lines between them."""
    ends = shared(lab)
    yield lines.found(lab, ends)
    yield curve.found(lab, ends)
