"""Examples to choose on and examples to score on, which are not the same."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils._pytree import tree_leaves

from thalweg.data import Examples, ExampleSet, LazyExamples
from thalweg.errors import UsageError
from thalweg.evaluation import Drawn, Sample, as_sample
from thalweg.population import Problem
from thalweg.randomness import generator


def apart(
    what: str,
    problem: Problem,
    choose_on: Sample | str | ExampleSet | None,
    on: Sample | str | ExampleSet,
    *,
    seed: int,
) -> tuple[Drawn, Drawn, str]:
    """Examples to choose on and to score on, and a sentence that says which; without the first, halves of the second.

    >>> import thalweg as tw
    >>> from thalweg.connectivity.held_out import apart
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> print(apart("averaged", problem, None, "test", seed=0)[2])
    Chosen on one half of all 360 test examples, drawn at random, and scored on the other.

    Raises:
        UsageError: what is no set of examples, an example that is in both, or too few to have halves.
    """
    scored = as_sample(what, on).draw(problem)
    if choose_on is None:
        if len(scored) < 4:
            msg = f"{what} splits the examples in halves to choose on one, which takes at least 4; got {len(scored)}."
            raise UsageError(msg)
        order = torch.randperm(len(scored), generator=generator(seed, "halves"))
        examples, middle = scored.examples, len(scored) // 2
        first, second = (
            Sample(examples.select(part.sort().values)).draw(problem) for part in (order[:middle], order[middle:])
        )
        return first, second, f"Chosen on one half of {scored.text}, drawn at random, and scored on the other."
    chosen = as_sample(f"{what} choose_on", choose_on).draw(problem)
    shared = _shared(chosen, scored)
    if shared:
        msg = (
            f"{what} scores on other examples than it chooses on, or what is chosen has their luck in its score; "
            f"{shared:,} of the {len(scored):,} to score on are among those to choose on. Leave choose_on out, and one "
            "half of on is chosen on, or give examples that are not in both."
        )
        raise UsageError(msg)
    return chosen, scored, f"Chosen on {chosen.text}, scored on {scored.text}."


def _shared(first: Drawn, second: Drawn) -> int:
    """How many examples are in both, by their numbers in one set, or by what they hold."""
    if first.whole is second.whole:
        return len(np.intersect1d(_numbers(first), _numbers(second)))
    if isinstance(first.sample.examples, str) and isinstance(second.sample.examples, str):
        return 0  # training and test examples
    one, two = first.examples, second.examples
    if isinstance(one, Examples) and isinstance(two, Examples):
        seen = set(_contents(one))
        return sum(row in seen for row in _contents(two))
    if isinstance(one, LazyExamples) and isinstance(two, LazyExamples) and one.dataset is two.dataset:
        return len(np.intersect1d(one.indices, two.indices))
    return 0  # of two datasets that are read when asked for nobody knows


def _numbers(drawn: Drawn) -> Int64[Tensor, " count"]:
    return torch.arange(len(drawn.whole)) if drawn.indices is None else drawn.indices


def _contents(examples: Examples) -> Iterator[bytes]:
    """What each example holds, inputs and targets."""
    tensors = tree_leaves([examples.inputs, examples.targets])
    leaves = [tensor.cpu().reshape(len(examples), -1).numpy() for tensor in tensors]
    return (b"".join(leaf[row].tobytes() for leaf in leaves) for row in range(len(examples)))
