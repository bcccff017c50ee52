"""To which step a ticket is rewound."""

import re
from numbers import Integral, Real

from thalweg.errors import UsageError
from thalweg.guard import guarded
from thalweg.population import Problem
from thalweg.randomness import BatchOrder
from thalweg.sweep import Sweep
from thalweg.training import Recipe

Rewinding = int | float | str
_EPOCHS = re.compile(r"\s*(\d+(?:\.\d*)?)\s*(?:ep|epochs?)\s*")


@guarded
def rewinding_step(problem: Problem, recipe: Recipe, rewind_to: Rewinding) -> int:
    """The step meant by a number of steps, a share of the recipe's steps, or epochs as text.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=200, batch_size=100)
    >>> [tw.tickets.rewinding_step(problem, recipe, one) for one in (10, 0.02, "1.5 epochs")]
    [10, 4, 21]

    Args:
        problem: whose training set makes an epoch: as many batches as it has whole ones.
        recipe: by which the dense network is trained.
        rewind_to: a whole number of steps; a share of all steps, at least 0.0 and below 1.0; or "3 epochs", "3ep".

    Raises:
        UsageError: what is none of these, or not before the last step.
    """
    step = None
    if isinstance(rewind_to, str) and (found := _EPOCHS.fullmatch(rewind_to)):
        if isinstance(recipe.batch_size, Sweep):
            msg = "Epochs have no one length where the batch size is swept; give rewind_to in steps."
            raise UsageError(msg)
        examples = len(problem.data.train)
        epoch = BatchOrder([0], examples, recipe.batch_size or examples).batches_per_epoch
        step = round(float(found[1]) * epoch)
    elif isinstance(rewind_to, Integral) and not isinstance(rewind_to, bool):
        step = int(rewind_to)
    elif isinstance(rewind_to, Real) and not isinstance(rewind_to, bool) and 0 <= rewind_to < 1:
        step = round(float(rewind_to) * recipe.steps)
    if step is None or not 0 <= step < recipe.steps:
        msg = (
            f"rewind_to must be a step from 0 to {recipe.steps - 1}, a share of the steps such as 0.02, or epochs such "
            f'as "2 epochs"; got {rewind_to!r}.'
        )
        raise UsageError(msg)
    return step
