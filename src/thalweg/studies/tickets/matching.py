"""LTH1: a subnetwork trained alone from its original initialization is as good as the dense network, in a setting."""

from thalweg.claims import Claim, Finding, Part, greater, less
from thalweg.figures import Figure
from thalweg.statistics import POSITIVE, SHARE, Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.tickets.frozen import Frozen
from thalweg.studies.tickets.setting import ALL, LONG, MARGIN, RATE, SMALL, UNIT, UNKNOWN, Searched

UNTRAINED, LONGER, KEPT = "untrained", "longer training", "all weights kept"
CLAIM = Claim(
    id="LTH1",
    statement="On MNIST-1D tickets of an MLP found by iterative magnitude pruning and trained from the original "
    "initialization are at most half a point less accurate than the dense network, at 91 % sparsity (width 200, 2,000 "
    "steps; quick: 81 %, width 100, 500 steps).",
    lecture="L(f(x; m theta_0)) is about L(f(x; theta_T)).",
    rule=greater(-MARGIN),
    unit=UNIT,
    bounds=ALL,
    corrected="The formula is of an untrained subnetwork, which is far from the dense network; it must read "
    "L(train(m theta_0)). And how sparse a ticket can be depends on width and training, so that both belong into the "
    "statement: a narrow network that is trained for long is judged beside it.",
    lecture_rule=greater(-MARGIN),
    parts=(
        Part(
            UNTRAINED,
            "Untrained, m theta_0 is right on less than 20 % of the examples; chance is 10 %.",
            less(0.2),
            "test accuracy",
            decides=False,
            bounds=SHARE,
        ),
        Part(
            LONGER,
            f"{LONG.text}, 80 % sparse: the ticket is worse by more than half a point.".capitalize(),
            less(-MARGIN),
            UNIT,
            decides=False,
            bounds=ALL,
        ),
        Part(
            KEPT,
            f"With a mask that keeps every weight the ticket is the dense network, bit for bit ({SMALL.text}).",
            less(1e-12),
            "largest difference of a weight",
            decides=False,
            bounds=POSITIVE,
        ),
    ),
)


def untrained(main: Searched, arm: str = "ticket") -> tuple[Interval, Interval]:
    """Accuracy of an arm before its first step, and by how many points it is better than the dense network trained."""
    run = main.search.runs[main.setting.scored - 1][arm]
    before = run.history["test_accuracy"][0, run.select(arm=arm)]
    dense = main.search.of(main.setting.scored, "dense")
    return interval.mean(before, bounds=SHARE), interval.difference(100 * before, 100 * dense, bounds=ALL)


def matched(found: Searched) -> str:
    """The largest sparsity at which, and at every smaller one, tickets match, in words."""
    level = found.search.largest_matching(margin=MARGIN / 100)
    return f"up to {found.sparsity(level)} sparsity" if level else "at no sparsity"


def found(
    lab: Lab,
    small: Searched,
    large: Searched | None,
    long: Searched | None,
    masks: Frozen | None,
    arm: str = "ticket",
    *,
    kept: Interval = UNKNOWN,
) -> Finding:
    """An arm beside the dense network, at the scored level and before training; the case that must not match.

    Args:
        kept: how far tickets that keep every weight are from the dense network.
    """
    main = large or small
    settings, shown = [one for one in (small, large, long) if one is not None], [] if masks is None else [masks]
    before, formula = untrained(main, arm)
    better = main.better("dense", arm)
    nulls = {name: small.better("dense", name) for name in ("shuffled", "magnitude at init")}
    panels = [one.search.figure().with_marks(title=one.setting.text) for one in settings]
    counts = ", ".join(str(len(one.seeds)) for one in settings)
    caption = (
        f"MNIST-1D, MLP 40-width-width-10, momentum at rate {RATE:g}; means over {counts} seeds, bands are pointwise "
        "95 % intervals. All arms of a seed see the same batches."
    )
    return lab.finding(
        better,
        claim=CLAIM,
        parts={
            UNTRAINED: before,
            LONGER: UNKNOWN if long is None else long.better("dense", arm),
            KEPT: kept,
        },
        lecture=formula,
        numbers={
            "better than dense, by sparsity": {
                one.setting.text: {one.sparsity(level): str(one.better("dense", arm, level)) for level in one.has(arm)}
                for one in settings
            },
            "controls better than dense": {name: str(one) for name, one in nulls.items()},
            "accuracy on training examples, dense": {
                one.setting.text: float(one.search.of(1, "dense", "train_accuracy").mean()) for one in settings
            },
        },
        figures=[
            Figure.row(panels, title="Tickets beside the dense network and their controls", caption=caption),
            *(one.figure() for one in shown),
        ],
        readings=[*(one.reading for one in settings), *(one.reading(lab) for one in shown)],
        sentences=[
            f"At {main.text}, the ticket is {better} points better than the dense network; untrained it is right on "
            f"{before.estimate:.1%} of the test examples.",
            *(
                f"{one.setting.text.capitalize()}: of the sparsities tried tickets match {matched(one)}; at "
                f"{one.sparsity()} they are {one.better('dense')} points better than the dense network."
                for one in settings
            ),
            f"At {small.text}, its mask shuffled is {nulls['shuffled']} points better than the dense network, and the "
            f"largest weights of the initialization {nulls['magnitude at init']}.",
            str(main.search.cost),
            *(one.sentence for one in shown),
        ],
    )
