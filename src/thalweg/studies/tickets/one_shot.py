"""LTH4: pruning in rounds beside pruning at once, and at once for as many steps."""

from thalweg.claims import Claim, Finding, Part, every_part, greater, within
from thalweg.figures import Axis, Figure, ReferenceLine, interval_line
from thalweg.studies.lab import Lab
from thalweg.studies.tickets.setting import ALL, LARGE, UNIT, UNITS, UNKNOWN, Searched

SPARSE, COST, LESS, LITTLE = "91 % sparse", "equal cost", "81 % sparse", "57 % sparse"
CLAIM = Claim(
    id="LTH4",
    statement="In an MLP of width 200 after 2,000 steps on MNIST-1D iterative pruning gives more accurate tickets than "
    "one-shot pruning at 91 % sparsity, and at 81 % equal ones within a point; at width 100 and 500 steps, 92 % "
    "sparse, also than one-shot pruning of a run of as many steps as all rounds take.",
    lecture="Iterative magnitude pruning is better for high sparsity.",
    rule=every_part(),
    unit=UNIT,
    budget={UNITS: LARGE.width, "steps": LARGE.steps},
    parts=(
        Part(SPARSE, "Iterative pruning is better.", greater(0), UNIT, bounds=ALL),
        Part(COST, "It is better than one-shot pruning that costs as much.", greater(0), UNIT, bounds=ALL),
        Part(LESS, "Both are equal within a point.", within(-1, 1), UNIT, bounds=ALL),
        Part(
            LITTLE,
            "Both are equal within a point, at width 100 and 500 steps.",
            within(-1, 1),
            UNIT,
            decides=False,
            bounds=ALL,
        ),
    ),
)


def found(lab: Lab, small: Searched, large: Searched | None) -> Finding:
    """Tickets by iterative and by one-shot pruning at every level, and at equal cost."""
    main, sparse = large or small, small.setting.sparse
    settings = [one for one in (small, large) if one is not None]
    better = main.better("one-shot", level=main.setting.sparse)
    cost = None if large is None else small.better("one-shot, equal cost", level=sparse)
    lines = [
        interval_line(
            [1 - one.search.densities[level - 1] for level in levels],
            [one.better("one-shot", level=level) for level in levels],
            label=one.setting.text,
        )
        for one in settings
        for levels in [one.has("one-shot")]
    ]
    gaps = {
        f"{one.setting.text}, {one.sparsity(level)}": one.better("one-shot", level=level)
        for one in settings
        for level in one.has("one-shot")
    }
    parts = {
        SPARSE: UNKNOWN if large is None else better,
        COST: cost or UNKNOWN,
        LESS: UNKNOWN if large is None else large.better("one-shot", level=large.setting.dense),
        LITTLE: small.better("one-shot", level=small.setting.dense),
    }
    return lab.finding(
        claim=CLAIM,
        parts=parts,
        ran={UNITS: main.setting.width, "steps": main.setting.steps},
        numbers={"iterative - one-shot": {name: str(one) for name, one in gaps.items()}},
        figures=Figure.of(
            "By how much iterative pruning is better than one-shot",
            [*lines, ReferenceLine(0.0)],
            Axis("sparsity"),
            Axis("difference", UNIT),
            caption="MNIST-1D, MLP, same weights kept in every layer and steps of the last training; means over "
            f"{' and '.join(str(len(one.seeds)) for one in settings)} seeds with 95 % intervals.",
        ),
        readings=[one.reading for one in settings],
        sentences=[
            f"At {main.setting.text}, {main.sparsity(main.setting.sparse)} sparse, iterative pruning is {better} "
            f"points better than one-shot, and its mask took {main.setting.sparse} trainings in place of one.",
            *(
                f"At {small.setting.text}, {small.sparsity(sparse)} sparse, it is {one} points better than one-shot "
                f"pruning of a run {sparse} times as long."
                for one in ([] if cost is None else [cost])
            ),
        ],
    )
