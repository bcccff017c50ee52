"""LTH3: which weights a ticket keeps matters, and not only how many of each layer."""

from thalweg.claims import Claim, Finding, Part, every_part, greater, within
from thalweg.figures import Axis, Figure, interval_bars
from thalweg.studies.lab import Lab
from thalweg.studies.tickets.setting import ALL, UNIT, Searched
from thalweg.tickets import share_of_gain

ORIGINAL, FRESH, NULL = "original initialization", "fresh initialization", "two shufflings"
CLAIM = Claim(
    id="LTH3",
    statement="On MNIST-1D a ticket's mask is better than the same numbers of weights at random places of each layer, "
    "with the original initialization (MLP of width 200, 2,000 steps, 91 % sparse; quick: width 100, 500 steps, 81 %) "
    "and with a fresh one (width 100, 500 steps, 81 %).",
    lecture="Most tickets lose (bad subnetworks), a few tickets win, and training finds which.",
    rule=every_part(),
    unit=UNIT,
    parts=(
        Part(ORIGINAL, "The mask is better than shuffled, with the original weights.", greater(0), UNIT, bounds=ALL),
        Part(FRESH, "The mask is better than shuffled, with fresh weights.", greater(0), UNIT, bounds=ALL),
        Part(
            NULL,
            "Two shufflings of one mask are equal within 2 points.",
            within(-2, 2),
            UNIT,
            decides=False,
            bounds=ALL,
        ),
    ),
)
SHOWN = ("ticket", "first layer shuffled", "shuffled", "another shuffling", "reinit", "reinit, shuffled")


def found(lab: Lab, small: Searched, large: Searched | None) -> Finding:
    """Masks beside their shuffled copies, with the original and fresh weights, and in the first layer alone."""
    main, level = large or small, small.setting.scored
    original, fresh = main.better("shuffled"), small.better("reinit, shuffled", "reinit")
    ticket, first, whole = (small.search.of(level, arm) for arm in ("ticket", "first layer shuffled", "shuffled"))
    share = share_of_gain(ticket - first, ticket - whole)
    parts = {ORIGINAL: original, FRESH: fresh, NULL: small.better("another shuffling", "shuffled")}
    return lab.finding(
        claim=CLAIM,
        parts=parts,
        numbers={"share lost with the places of the first layer": str(share)},
        figures=Figure.of(
            "What a mask is worth",
            [interval_bars({arm: small.accuracy(arm) for arm in SHOWN})],
            Axis(""),
            Axis("test accuracy", "%"),
            caption=f"MNIST-1D, MLP, {small.text}, {len(small.seeds)} seeds; means with 95 % intervals. Shuffled: as "
            "many weights in every layer at random places; reinit: fresh weights.",
        ),
        readings=[one.reading for one in (small, large) if one is not None],
        sentences=[
            f"At {main.text}, a ticket is {original} points better than its mask shuffled in every layer; with fresh "
            f"weights the mask is {fresh} points better than shuffled ({small.text}).",
            f"Shuffling the first layer alone, which inputs are kept together, loses {share} of what shuffling all "
            "loses.",
        ],
    )
