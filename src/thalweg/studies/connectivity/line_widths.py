"""How high lines between networks of several widths are: the loss on them, and the error, which need not agree."""

from thalweg import connectivity
from thalweg.studies.connectivity.setting import POINTS, Ends, trained
from thalweg.studies.lab import Lab

WIDTHS = (32, 256)  # of both hidden layers, beside that of the ends
PAIRS = 6


def by_width(lab: Lab, ends: Ends) -> dict[int, tuple[float, float]]:
    """Means over pairs by width: nats of training loss above the chord, and points of training error above the mean.

    All widths are trained by the recipe of the ends, with their seeds.
    """
    few = ends.few(PAIRS)
    seeds = [seed for triple in few.seeds for seed in triple]
    others = {width: trained(lab, few.setting.with_hidden(width, width), seeds) for width in WIDTHS}
    found = {}
    for width, own in sorted({few.setting.widths[1]: few, **others}.items()):
        line = connectivity.barrier(
            own.problem,
            own.first,
            own.second,
            points=POINTS,
            resamples=0,
            progress=lab.labelled(f"{own.setting.text}, lines"),
        )
        found[width] = float(line["loss barrier"].mean()), 100 * float(line["error barrier, over mean"].mean())
    return found
