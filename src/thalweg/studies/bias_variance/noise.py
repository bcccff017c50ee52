"""BV3: noise is level, stable pattern and occasion noise, found unbiased; its fits decide BV4 too."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from thalweg import data, nets, optim
from thalweg.claims import Claim, Finding, Part, every_part, greater, less, within
from thalweg.data import Examples
from thalweg.figures import Axis, Figure, Line, interval_bars
from thalweg.generalization.bias_variance import COMPONENTS, ensembles_of_predictions, predictions, refit
from thalweg.generalization.bias_variance.grams import NESTED, Grams, components
from thalweg.population import Problem
from thalweg.statistics import POSITIVE, Interval, interval
from thalweg.studies.bias_variance.digits import dealt, feature_fits
from thalweg.studies.bias_variance.ensembles import CLAIM as GAIN
from thalweg.studies.bias_variance.ensembles import MODELS, SIZES
from thalweg.studies.bias_variance.ensembles import finding as gain_of
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.training import Recipe

Array = NDArray[np.float64]
SHARE = "share of the error"
TIES = ("30 features", "MLP")  # the models whose noise BV3 is about
CLAIM = Claim(
    id="BV3",
    statement="The unbiased components of the noise of judges recover planted ones, are above 0 for training sets and "
    "seeds of random features and of an MLP, and vanish when fits are dealt out to judges at random.",
    lecture="System noise can be broken down to stable pattern noise, occasion noise and level noise.",
    rule=every_part(),
    unit=SHARE,
    budget={"repetitions": 4},
    corrected="With bias case by case: MSE = mean of bias_i^2 + level + stable pattern + occasion noise, exactly. "
    "Where seeds are each judge's own, an occasion has a level and a pattern too. Variance is the spread of single "
    "fits; only level noise is one of averages.",
    parts=(
        Part("planted", "Planted components are recovered.", less(4), "largest distance / s.e.", bounds=POSITIVE),
        Part("precision", "Well enough to tell.", less(0.05), "largest s.e. / planted", bounds=POSITIVE),
        *(Part(f"stable, {name}", "There is stable pattern noise.", greater(0), SHARE) for name in TIES),
        *(Part(f"occasion, {name}", "There is occasion noise.", greater(0), SHARE) for name in TIES),
        Part("level, shuffled", "Judges that mean nothing have no level.", within(-0.01, 0.01), SHARE),
        Part("stable, shuffled", "They have no stable pattern.", within(-0.01, 0.01), SHARE),
    ),
)
# Variances: bias^2, level, stable pattern, occasion level, occasion pattern.
PLANTED = (1.0, 1.0, 0.5, 0.25, 0.75)
NULLS = ("level", "stable")
DRAWS, SHUFFLES = 200, 100
JUDGES, OCCASIONS, SIZE, WRONG = 16, 4, 60, (0.2,)
RECIPE = Recipe(optim.Adam(1e-2), steps=250, batch_size=SIZE, evaluate=0)
NUMBERS = (6, 10, 16, 24, 30, 36, 42, 48)  # of features, in the figure


def planted(seed: int, draws: int) -> tuple[float, float]:
    """The largest |mean - planted| / s.e. and the largest s.e. / planted, over components and draws of all of them."""
    rng, cases, judges, occasions = np.random.default_rng(seed), 200, 8, 4
    shapes = ((1, 1, cases), (judges, 1, 1), (judges, 1, cases), (judges, occasions, 1), (judges, occasions, cases))
    found = np.empty((draws, len(PLANTED)))
    for draw in range(draws):
        errors = sum(np.sqrt(size) * rng.normal(size=shape) for size, shape in zip(PLANTED, shapes, strict=True))
        parts = components(Grams.of(np.asarray(errors)[..., None]), NESTED)
        found[draw] = [parts[name] for name in COMPONENTS]
    errors = found.std(0, ddof=1) / np.sqrt(draws)
    return float((np.abs(found.mean(0) - PLANTED) / errors).max()), float((errors / PLANTED).max())


def shuffled(fits: Array, targets: Array, seed: int) -> Array:
    """Level and stable pattern by the error with fits dealt out to judges at random, over shuffles: (2,)."""
    grams, rng = Grams.of(fits - targets), np.random.default_rng(seed)
    found = [components(grams.shuffled(rng.permutation(len(grams.products))), NESTED) for _ in range(SHUFFLES)]
    return np.mean([[one["level"] / one["mse"], one["stable pattern"] / one["mse"]] for one in found], 0)


def fits_of(lab: Lab, model: str, seed: int) -> tuple[Array, Array]:
    """What a model says of held-out digits from each training set and seed, (judges, occasions, cases, 10); targets."""
    found = dealt(JUDGES, SIZE, WRONG, seed)
    if model != "MLP":
        number, penalty = (30, 0.0) if model == MODELS[0] else (60, 0.01)
        return feature_fits(found, number, OCCASIONS, penalty, seed), found.targets
    flat = found.inputs.reshape(JUDGES * SIZE, -1), found.labels.ravel()
    rows, held = (data.from_user(pair).train for pair in (flat, (found.test_inputs, found.test_labels)))
    assert isinstance(rows, Examples)
    problem = Problem(lambda: nets.mlp(64, 32, 10), data.Data(rows, held, "digits", 10), device=lab.device)
    told = lab.labelled("MLPs")
    trained = refit(problem, RECIPE, sets=JUDGES, seeds=OCCASIONS, seed=seed, progress=told, workers=lab.workers)
    fits, targets = predictions(problem, trained)
    return fits.reshape(JUDGES, OCCASIONS, *targets.shape), targets


@decides(CLAIM, GAIN)
def experiment(lab: Lab) -> Iterator[Finding]:
    """Audit training sets x seeds of three models, and predict the ensembles of half the sets by the other half."""
    seeds = lab.seeds(quick=10, full=20).scored
    counts = dict.fromkeys(MODELS[:2], len(seeds)) | {MODELS[2]: lab.pick(quick=4, full=12)}
    shares, nulls, gains = {}, {}, {}
    for model in MODELS:
        gains[model], rows, null = [], [], []
        for seed in seeds[: counts[model]]:
            fits, targets = fits_of(lab, model, seed)
            parts = components(Grams.of(fits - targets), NESTED)
            rows.append([parts[name] / parts["mse"] for name in COMPONENTS])
            null.append(shuffled(fits, targets, seed))
            gains[model].append(ensembles_of_predictions(fits, targets, SIZES))
        shares[model], nulls[model] = np.array(rows), np.array(null)
    yield noise_of(lab, shares, nulls, seeds)
    yield gain_of(lab, gains)


def noise_of(lab: Lab, shares: Mapping[str, Array], nulls: Mapping[str, Array], seeds: list[int]) -> Finding:
    """Judge the components by the error, (repetitions, components) of every model, and those of shuffled judges."""
    distance, error = planted(seeds[0], DRAWS)
    point = lambda value: Interval(value, value, value, DRAWS, f"{DRAWS} planted audits")  # noqa: E731
    parts = {"planted": point(distance), "precision": point(error)}
    stable, occasion = COMPONENTS.index("stable pattern"), slice(COMPONENTS.index("occasion level"), None)
    parts |= {f"stable, {name}": interval.mean(shares[name][:, stable]) for name in TIES}
    parts |= {f"occasion, {name}": interval.mean(shares[name][:, occasion].sum(1)) for name in TIES}
    for place, name in enumerate(NULLS):
        each = [interval.mean(nulls[model][:, place]) for model in TIES]
        parts[f"{name}, shuffled"] = max(each, key=lambda one: max(one.high, -one.low))
    bars = [
        interval_bars({name: interval.mean(of[:, place]) for place, name in enumerate(COMPONENTS)}, label=model)
        for model, of in shares.items()
    ]
    return lab.finding(
        claim=CLAIM,
        parts=parts,
        ran={"repetitions": min(map(len, shares.values()))},
        figures=[
            stacked(lab, seeds[0]),
            Figure.of(
                "What the error of one fit is made of",
                bars,
                Axis(""),
                Axis("share of the error"),
                caption=f"{JUDGES} disjoint sets of {SIZE} digits, {WRONG[0]:.0%} of the labels wrong, {OCCASIONS} "
                "seeds for each. Means with 95 % intervals over reshuffles of one pool of digits.",
            ),
        ],
        readings=[
            lab.reading(f"components / error, {name}", of, {"repetition": range(len(of)), "component": COMPONENTS})
            for name, of in shares.items()
        ]
        + [
            lab.reading(f"shuffled judges / error, {name}", of, {"repetition": range(len(of)), "part": NULLS})
            for name, of in nulls.items()
        ],
        sentences=[
            f"Planted components are recovered: the farthest mean of {DRAWS} audits is {distance:.1f} standard errors "
            f"away, and the largest of these is {error:.1%} of its component.",
            *(
                f"{name}: bias^2 is {of[0]:.0%} of the error, level {of[1]:.1%}, stable pattern {of[2]:.0%}, occasion "
                f"noise {of[3] + of[4]:.0%}."
                for name, of in ((name, table.mean(0)) for name, table in shares.items())
            ),
        ],
        numbers={name: dict(zip(COMPONENTS, of.mean(0).tolist(), strict=True)) for name, of in shares.items()},
    )


def stacked(lab: Lab, seed: int) -> Figure:
    """The components of random features over their number, one on top of the other."""
    found = dealt(JUDGES, SIZE, WRONG, seed)
    errors = [feature_fits(found, number, OCCASIONS, 0.0, seed) - found.targets for number in NUMBERS]
    parts = [components(Grams.of(each), NESTED) for each in errors]
    edges = np.cumsum([[0.0] * len(parts), *([max(0.0, one[name]) for one in parts] for name in COMPONENTS)], 0)
    marks = [
        Line(np.array(NUMBERS), high, low=low, high=high, label=name)
        for name, low, high in zip(COMPONENTS, edges[:-1], edges[1:], strict=True)
    ]
    return Figure.of(
        "Noise of random features by their number",
        marks,
        Axis("features"),
        Axis("squared error, stacked"),
        caption=f"{JUDGES} disjoint sets of {SIZE} digits, {OCCASIONS} draws of features for each, minimum norm; "
        f"interpolation begins at {SIZE} features.",
    )
