"""LTH6: how early in training there are masks worth as much as the final one, of weights and of channels.

Weights are the MLP's at the small setting of LTH1; channels are a convnet's, by the scales of its normalization layers
under an L1 penalty, half of every layer. (By one ranking of all channels a layer is nearly emptied in some seeds, which
then differ by ten points and more.)
"""

from dataclasses import replace

from thalweg import optim, tickets
from thalweg.claims import Claim, Finding, Part, greater, within
from thalweg.figures import Axis, Figure, interval_bars
from thalweg.population import Population
from thalweg.statistics import Interval, interval
from thalweg.studies.lab import Lab
from thalweg.studies.study import decides
from thalweg.studies.tickets import convnet
from thalweg.studies.tickets.setting import ALL, RATE, UNIT, UNKNOWN, problem_of, recipe_of
from thalweg.tickets import EarlyBird, EarlyMasks, Units
from thalweg.tickets.selection import Scores

EARLY = 0.2  # the fraction of training by which masks are said to be there
WIDTH, STEPS = 100, 500
LEVEL = {"hidden": 0.64**4, "output": 0.81**4}  # kept in one cut: as many as level 4 of LTH1's small setting
FRACTIONS = {"quick": (0, 0.1, EARLY, 0.5), "full": (0, 0.02, 0.05, 0.1, EARLY, 0.3, 0.5, 0.7)}
CHANNELS, CHANNEL_STEPS, PENALTY, SCALE = 0.5, 400, 1e-3, 0.5
SAME, BETTER = "channels, as the final ones", "channels, better than random"
CLAIM = Claim(
    id="LTH6",
    statement="On MNIST-1D a mask of single weights, taken from an MLP (width 100, 500 steps) at 20 % of training by "
    "magnitude at 82 % sparsity, has more than 90 % of what the final mask gains over a random one.",
    lecture="Early-bird tickets: the winning structure emerges very early, often within 10-20 % of training.",
    rule=greater(0.9),
    unit="share of the final mask's gain",
    corrected="Early-bird tickets are of channels, and there it is true of what they are worth: half of the channels "
    "taken at 20 % train as well as the final half, though they are partly others. Masks of single weights emerge with "
    "the fall of the learning rate. And of sparse masks any two are near each other by the paper's distance.",
    parts=(
        Part(SAME, "Channels taken at 20 % are worth the final ones.", within(-2, 2), UNIT, decides=False, bounds=ALL),
        Part(BETTER, "They are worth more than random ones.", greater(0), UNIT, decides=False, bounds=ALL),
    ),
)


def gamma(population: Population, first: Population) -> Scores:
    """The scales of normalization layers, by which channels are chosen."""
    return tickets.scores.gamma(population)


def of_weights(lab: Lab, seeds: list[int]) -> EarlyMasks:
    """Masks of single weights of the MLP, trained from the original initialization."""
    return tickets.early_masks(
        problem_of(lab, WIDTH),
        recipe_of(STEPS),
        FRACTIONS[lab.scale],
        share=LEVEL,
        seeds=seeds,
        progress=lab.labelled("masks of weights"),
        workers=lab.workers,
    )


def of_channels(lab: Lab, seeds: list[int]) -> EarlyMasks:
    """Half of the channels of every layer of the convnet, trained from the weights at 20 % on."""
    recipe = recipe_of(CHANNEL_STEPS, RATE)
    return tickets.early_masks(
        convnet.problem_of(lab, SCALE),
        replace(recipe, optimizer=optim.Slimming(recipe.optimizer, PENALTY)),
        (EARLY,),
        share=CHANNELS,
        seeds=seeds,
        train_from=EARLY,
        score=gamma,
        allocation=Units(),
        progress=lab.labelled("masks of channels"),
        workers=lab.workers,
    )


def points_better(found: EarlyMasks, step: int | str, than: int | str) -> Interval:
    """By how many points of accuracy networks under one mask are better than under another, over paired seeds."""
    return interval.mean(100 * found.gains(step, than), bounds=ALL)


def bars(channels: EarlyMasks) -> Figure:
    """The accuracy with half of the channels, by which half, beside that with all."""
    early = channels.reading.coordinate("step").tolist()[0]
    arms: dict[str, int | str] = {"all": "dense", "final half": "final", f"half of step {early}": early}
    arms |= {"random half": "random"}
    accuracy = {name: interval.mean(100 * channels.of(arm), bounds=(0, 100)) for name, arm in arms.items()}
    caption = (
        f"Convnet of four layers, scales of normalization under an L1 penalty; halves of every layer, trained from "
        f"step {early} of {channels.dense.recipe.steps} on. Means over {len(channels['dense'])} seeds with 95 % "
        "intervals."
    )
    y = Axis("test accuracy", "%")
    return Figure.of("What half of the channels is worth", [interval_bars(accuracy)], Axis(""), y, caption=caption)


@decides(CLAIM)
def experiment(lab: Lab) -> Finding:
    """Train networks under masks taken early, under the final one and under random ones; channels at full scale."""
    # Channels differ by some four points from seed to seed, so that two points want 16 of them.
    seeds = lab.seeds(quick=6, full=16).scored
    weights = of_weights(lab, seeds[: lab.pick(quick=6, full=8)])
    masks = tickets.early_bird(problem_of(lab, WIDTH), weights.dense, LEVEL)
    return found(lab, weights, masks, of_channels(lab, seeds) if lab.scale == "full" else None)


def found(lab: Lab, weights: EarlyMasks, masks: EarlyBird, channels: EarlyMasks | None) -> Finding:
    """The share of the gain that early masks of weights have, and what early masks of channels are worth."""
    at, half = (round(share * weights.dense.recipe.steps) for share in (EARLY, 0.5))
    steps = weights.reading.coordinate("step").tolist()
    shares = {step: weights.share(step) for step in steps[:-1]}
    overlap, spent = weights["overlap"].mean(1), weights["share of the rate"]
    row, chance = steps.index(at), float(masks["chance distance"])
    figures = [replace(weights.figure(), title="Masks of weights taken early"), masks.figure()]
    readings, parts = [weights.reading, masks.reading], dict.fromkeys((SAME, BETTER), UNKNOWN)
    sentences = [
        f"A mask of weights taken at {EARLY:.0%} of training, by when {spent[row]:.0%} of the learning rate is spent, "
        f"has {shares[at]} of what the final one gains over a random one; one taken at half of training has "
        f"{shares[half]}. Beyond chance, the first overlaps with the final mask by {overlap[row]:.2f}, and that of the "
        f"initialization by {overlap[0]:.2f}.",
        f"As they are, masks of {EARLY:.0%} and of the end differ in {masks['distance'][:, row, -1].mean():.1%} of the "
        f"places, and two random ones in {chance:.1%}; the paper's threshold is 10 %.",
        f"Cut once, at the end, networks of these weights are {points_better(weights, 'final', 'dense')} points better "
        "than the dense one.",
    ]
    if channels is not None:
        early = channels.reading.coordinate("step").tolist()[0]
        parts = {name: points_better(channels, early, of) for name, of in ((SAME, "final"), (BETTER, "random"))}
        figures.append(bars(channels))
        readings.append(replace(channels.reading, name="masks of channels taken early"))
        sentences.append(
            f"The half of the channels taken at {EARLY:.0%} of training is {parts[SAME]} points better than the final "
            f"half, and {parts[BETTER]} better than a random one; beyond chance it overlaps with the final half by "
            f"{channels['overlap'][0].mean():.2f}. That half is {points_better(channels, 'final', 'dense')} points "
            "better than the dense network."
        )
    return lab.finding(
        shares[at],
        parts=parts,
        figures=figures,
        readings=readings,
        sentences=sentences,
        numbers={
            "share of the gain, by step": {str(step): str(one) for step, one in shares.items()},
            "overlap with the final mask, by step": dict(zip(map(str, steps), overlap.tolist(), strict=True)),
            "overlap of random masks": float(weights["overlap of random"].mean()),
            "rate spent, by step": dict(zip(map(str, steps), spent.tolist(), strict=True)),
        },
    )
