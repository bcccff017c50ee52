"""Whether the measured plan is the better one: convnets and transformers under both plans, side by side.

    python benchmarks/plans.py

The chosen plan should never be more than 5 % slower than the better of the two. Medians over interleaved repeats.
"""

import statistics
from collections.abc import Callable

import thalweg as tw
from thalweg.data import digits, modular, text
from thalweg.nets import convnet, mlp, modular_transformer, transformer
from thalweg.population import Plan

REPEATS = 5


def language_model() -> tw.Problem:
    """A byte-level language model."""
    data = text(context=32)
    return tw.Problem(lambda: transformer(data.classes, 32, 32, 2, 1), data.subset(train=4000, test=200, seed=0))


PROBLEMS: dict[str, tuple[Callable[[], tw.Problem], int, int]] = {
    "16 MLPs 64-32-32-10": (lambda: tw.Problem(lambda: mlp(64, 32, 32, 10), digits()), 16, 128),
    "8 convnets on 8x8 images": (lambda: tw.Problem(lambda: convnet(), digits(image=True)), 8, 128),
    "8 transformers on modular addition": (
        lambda: tw.Problem(lambda: modular_transformer(59, 64, 4), modular(59, encoding="tokens")),
        8,
        256,
    ),
    "4 language models": (language_model, 4, 64),
}


def seconds_a_step(problem: tw.Problem, members: int, batch: int, plan: Plan | str, steps: int = 15) -> float:
    """Seconds a step under a plan that is given, so that choosing is not timed."""
    recipe = tw.Recipe(
        tw.optim.AdamW(lr=tw.sweep.log(1e-4, 1e-3, members)),
        steps,
        batch,
        evaluate=0,
        evaluate_train_on=tw.Sample("train", 1),
    )
    return tw.train(problem, recipe, plan={"gradient": plan, "outputs": Plan("looped", 1)}).seconds / steps


def main() -> None:
    """Print the table."""
    for name, (make, members, batch) in PROBLEMS.items():
        problem = make()
        recipe = tw.Recipe(
            tw.optim.AdamW(lr=tw.sweep.log(1e-4, 1e-3, members)),
            1000,
            batch,
            evaluate=0,
            evaluate_train_on=tw.Sample("train", 1),
        )
        chosen = tw.train(problem, recipe, until=1).plan
        timed: dict[str, list[float]] = {"chosen": [], "looped": [], "stacked": []}
        plans = {"chosen": chosen, "looped": Plan("looped", 1), "stacked": Plan("stacked", members)}
        for _ in range(REPEATS):
            for arm, plan in plans.items():
                timed[arm].append(seconds_a_step(problem, members, batch, plan))
        median = {arm: statistics.median(values) for arm, values in timed.items()}
        better = min(median["looped"], median["stacked"])
        print(f"{name}, batch {batch}: chose {chosen} ({chosen.reason})")
        print("  " + ", ".join(f"{arm} {1e3 * value:.1f} ms" for arm, value in median.items()), end="")
        print(f" a step; chosen / better {median['chosen'] / better:.2f}")


if __name__ == "__main__":
    main()
