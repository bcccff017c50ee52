"""LTH2: what the original initialization is worth to a ticket's mask."""

from thalweg.claims import Claim, Finding, Part, every_part, greater, within
from thalweg.figures import Axis, Figure, interval_bars, interval_line
from thalweg.results import Reading
from thalweg.statistics import interval
from thalweg.studies.lab import Lab
from thalweg.studies.tickets.own_rates import ARMS, RATES, OwnRates
from thalweg.studies.tickets.setting import ALL, LARGE, RATE, UNIT, UNITS, UNKNOWN, Searched
from thalweg.tickets import share_of_gain

SPARSE, LESS, NULL = "91 % sparse", "81 % sparse", "two initializations"
NULL_ARMS = ("reinit", "another reinit")
CLAIM = Claim(
    id="LTH2",
    statement="In an MLP of width 200 after 2,000 steps on MNIST-1D the original initialization is better for a "
    "ticket's mask than a fresh one at 91 % sparsity, each at the rate that was best for it on tuning seeds; at 81 %, "
    f"both at rate {RATE}, they are equal within 1.5 points.",
    lecture="L(f(x; m theta'_0)) is much larger than L(f(x; theta_T)): a ticket fails if it is reinitialized.",
    rule=every_part(),
    unit=UNIT,
    budget={UNITS: LARGE.width, "steps": LARGE.steps},
    corrected="It does not fail: at high sparsity and after short training it is worse, and otherwise about equal. "
    "Fresh magnitudes with the original signs lie in between.",
    parts=(
        Part(SPARSE, "The original initialization is better, each at its tuned rate.", greater(0), UNIT, bounds=ALL),
        Part(LESS, "Both are equal within 1.5 points, at one rate.", within(-1.5, 1.5), UNIT, bounds=ALL),
        Part(
            NULL,
            "Two fresh initializations under one mask are equal within 2 points (width 100, 500 steps).",
            within(-2, 2),
            UNIT,
            decides=False,
            bounds=ALL,
        ),
    ),
)


def found(lab: Lab, small: Searched, large: Searched | None, long: Searched | None, rates: OwnRates | None) -> Finding:
    """The ticket beside its mask with a fresh initialization, and beside one that keeps the signs."""
    main, level = large or small, small.setting.scored
    ticket, signs, fresh = (small.search.of(level, arm) for arm in ("ticket", "signs kept", "reinit"))
    share = share_of_gain(signs - fresh, ticket - fresh)
    gaps = {one.text: one.better("reinit") for one in (small, large, long) if one is not None}
    less = None if large is None else large.better("reinit", level=large.setting.dense)
    if large is not None and less is not None:
        gaps[f"{large.setting.text}, {large.sparsity(large.setting.dense)} sparse"] = less
    bars = interval_bars({arm: small.accuracy(arm) for arm in ("ticket", "signs kept", *NULL_ARMS, "dense")})
    figure = Figure.of(
        "A ticket's mask with other initializations",
        [bars],
        Axis(""),
        Axis("test accuracy", "%"),
        caption=f"MNIST-1D, MLP, {small.text}, {len(small.seeds)} seeds; means with 95 % intervals. Signs kept: "
        "magnitudes of the fresh initialization, signs of the original one.",
    )
    parts = {
        SPARSE: UNKNOWN if rates is None else rates.better,
        LESS: less or UNKNOWN,
        NULL: small.better(*NULL_ARMS),
    }
    return lab.finding(
        claim=CLAIM,
        parts=parts,
        ran={UNITS: main.setting.width, "steps": main.setting.steps},
        numbers={
            "better than reinit, all at one rate": {name: str(one) for name, one in gaps.items()},
            "share of the gap that the signs close": str(share),
            "rates": {} if rates is None else dict(zip(ARMS, rates.rates.tolist(), strict=True)),
        },
        figures=[figure] if rates is None else [figure, by_rate(rates, main)],
        readings=[main.reading] if rates is None else [main.reading, tuning(lab, rates)],
        sentences=[
            *(
                f"At {name}, all at one rate, the ticket is {one} points better than with a fresh initialization."
                for name, one in gaps.items()
            ),
            *(
                f"With rates that were best on a tuning seed of each seed's own, at {main.text}, it is {own.better} "
                f"points better; {own.at_the_end}."
                for own in ([] if rates is None else [rates])
            ),
            f"Original signs with fresh magnitudes close {share} of the gap at {small.text}.",
        ],
    )


def tuning(lab: Lab, rates: OwnRates) -> Reading:
    """What tuning saw."""
    coordinates = {"arm": ARMS, "rate": RATES, "seed": range(rates.tuned.shape[2])}
    return lab.reading("accuracy while tuning", rates.tuned, coordinates, unit="fraction")


def by_rate(rates: OwnRates, main: Searched) -> Figure:
    """The same as a figure."""
    lines = [
        interval_line(RATES, [interval.mean(100 * at, bounds=(0, 100)) for at in of], label=arm)
        for arm, of in zip(ARMS, rates.tuned, strict=True)
    ]
    caption = f"MNIST-1D, MLP, {main.text}; {rates.tuned.shape[2]} tuning seeds, on examples nothing is tested on."
    return Figure.of(
        "Accuracy by learning rate", lines, Axis("learning rate", scale="log"), Axis("accuracy", "%"), caption=caption
    )
