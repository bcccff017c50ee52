"""Several training sets as one."""

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.data.examples import Examples
from thalweg.data.trees import joined
from thalweg.errors import UsageError, check_type
from thalweg.guard import guarded


@guarded
def pooled(sets: Sequence[Examples]) -> tuple[Examples, Int64[Tensor, "sets n"]]:
    """The examples of all sets, one set after the other, and which of them are whose, as `train(examples=)` takes it.

    So members can be trained on sets that share no example, or the same examples with labels of their own.

    Test sets of splits of one table are pooled likewise, for `train(test_examples=)`. What one member holds out others
    are trained on, so that all of a pooled test set measures the generalization of none: an instrument that takes
    on="test" of a problem and a population measures on all of it, and its "test" is then no test. The history of the
    run is of each member's own, as are `grokking.plateau`, `where_am_i` and
    `evaluate(problem, run.final, "test", rows=run.test_examples)`; for others, give one member at a time with its own
    examples, such as `run.final[0], on=problem.data.test.select(run.test_examples[0])`.

    >>> import thalweg as tw
    >>> sets = [tw.data.digits().split_anew(100, seed=seed).train for seed in (0, 1)]
    >>> pool, table = tw.data.pooled(sets)
    >>> len(pool), table.shape, table[:, 0].tolist()
    (200, torch.Size([2, 100]), [0, 100])
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.Data(pool, classes=10))
    >>> recipe = tw.Recipe(tw.optim.SGD(0.1), steps=5, batch_size=50)
    >>> tw.train(problem, recipe, seeds=[0, 1], examples=table).examples.shape
    torch.Size([2, 100])

    Args:
        sets: as many examples in each, held in memory.

    Raises:
        UsageError: no set, or sets of several sizes.

    Cost: a copy of all examples.
    """
    for one in sets:
        check_type("Each set that pooled joins", one, Examples, "Examples held in memory, such as data.train")
    sizes = sorted({len(one) for one in sets})
    if len(sizes) != 1:
        msg = f"pooled joins sets of as many examples each, at least one set; got {len(sets)} sets of {sizes} examples."
        raise UsageError(msg)
    inputs, targets = (joined([getattr(one, part) for one in sets], part) for part in ("inputs", "targets"))
    return Examples(inputs, targets), torch.arange(len(sets) * sizes[0]).view(len(sets), -1)
