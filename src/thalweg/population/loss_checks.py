"""A loss and metrics tried out on outputs of a few examples, and on targets from the whole set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.data import Data, Examples, ExampleSet
from thalweg.errors import DataError, ModelError, ThalwegError
from thalweg.losses import checks
from thalweg.losses.names import Loss, Metric
from thalweg.losses.of_user import UserLoss
from thalweg.losses.per_position import NamedLoss, PerPosition
from thalweg.losses.recognition import recognized
from thalweg.population.telling_rows import telling_rows
from thalweg.randomness import generator

_MOST_ROWS, _MOST_BYTES = 1_024, 2**26  # of outputs that a loss is tried on


def checked(loss: Loss, outputs: Any, targets: Any) -> Loss:
    """The loss, knowing whether it is weighted; ModelError where it cannot take these outputs and targets."""
    if isinstance(loss, NamedLoss):
        loss.check(outputs, targets)
        return loss
    paired = _explained(loss, loss.check, outputs, targets)
    return replace(loss, weighted=paired or loss.tells_weights)


@dataclass(frozen=True, eq=False)
class Domain:
    """What targets the losses and metrics that are known here can take.

    Args:
        functions: the loss and the metrics.
        outputs: of a few examples.
    """

    functions: tuple[Loss | Metric, ...]
    outputs: Any

    def __call__(self, targets: Any) -> None:
        """Raise ModelError at targets, of any number of examples, that have no loss or no metric."""
        for one in self.functions:
            known = one.function if isinstance(one, UserLoss) else one
            if not isinstance(known, PerPosition) or known.takes_any_target:
                continue
            if isinstance(targets, Tensor) and isinstance(self.outputs, Tensor):
                known.check_targets(self.outputs, targets)

    @property
    def is_everything(self) -> bool:
        """Whether nothing is known that targets could be wrong by."""
        known = [one.function if isinstance(one, UserLoss) else one for one in self.functions]
        return not any(isinstance(one, PerPosition) and not one.takes_any_target for one in known)


def check_targets(loss: Loss, domain: Domain, data: Data) -> None:
    """Raise where targets have no such loss or metric, or none of them counts: all in memory, of those streamed some.

    The others are looked at when they are read.
    """
    for name, rows in (("training", data.train), ("test", data.test)):
        held = isinstance(rows, Examples)
        if rows is None or not (held or name == "training") or domain.is_everything:
            continue
        targets = rows.targets if held else rows.take(telling_rows(rows, _MOST_ROWS))[1]
        domain(targets)
        if not isinstance(loss, NamedLoss) or not isinstance(targets, Tensor) or not held:
            continue
        weights = loss.weights(targets, domain.outputs)
        if weights is not None and not bool(weights.any()):
            msg = (
                f"The loss {loss.name} counts no target of the {len(rows):,} {name} examples: all are ignored or of a "
                "class that weighs 0. Give some targets that count."
            )
            raise DataError(msg)


def check_mean(loss: UserLoss, outputs: Any, targets: Any) -> None:
    """Raise ModelError unless the loss of this batch is the (weighted) mean over its examples."""
    _explained(loss, lambda *batch: checks.check_mean(loss, *batch), outputs, targets)


def check_own_state(loss: UserLoss, outputs: Any, targets: Any) -> None:
    """Raise ModelError where a loss has something to train, or keeps something from call to call."""
    _explained(loss, lambda *batch: checks.check_nothing_trained(loss, *batch), outputs, targets)
    _explained(loss, lambda *batch: checks.check_same_again(loss, *batch), outputs, targets)


def weighing(loss: UserLoss, data: Data, outputs: Any, outputs_of: Callable[[Any], Any]) -> UserLoss:
    """The loss, knowing how it weighs examples; ModelError unless it is a mean over examples, weighted or not.

    It is tried on targets of training and of test examples with outputs of the few examples, again and again; what
    does not agree is tried once more on outputs that belong to them. Seen are 64 of each set at random and one of every
    value of integer targets, and 32 at random of a set that is streamed, however large it is; every batch that is
    evaluated later is checked in the same way (see `UserLoss.entries`).

    Args:
        loss: the user's loss or metric.
        data: training and test set.
        outputs: of a few training examples, best not all equal.
        outputs_of: those of given inputs.
    """
    most = _most_rows(outputs)
    rows = [(some, telling_rows(some, most)) for some in (data.train, data.test) if some is not None]
    targets = _joined([_targets(some, chosen) for some, chosen in rows])
    try:
        return _weighing(loss, _repeated(outputs, len(tree_leaves(targets)[0])), targets)
    except Exception:  # outputs of other examples may not go with these targets
        read = [some.take(chosen)[0] for some, chosen in rows]
        found = _joined([outputs_of(inputs) for inputs in read])
        return _explained(loss, lambda *batch: _weighing(loss, *batch), found, targets)


def _weighing(loss: UserLoss, outputs: Any, targets: Any) -> UserLoss:
    found = recognized(loss, outputs, targets)
    checks.check_mean(found, outputs, targets)
    return found


def check_gradient(loss: UserLoss, train: ExampleSet, outputs: Any, outputs_of: Callable[[Any], Any]) -> None:
    """Raise ModelError where a weighted loss has no finite gradient at values of weight 0.

    Such values are looked for in many examples, and the gradient is taken on a few that have some.

    Args:
        loss: the user's.
        train: the whole set.
        outputs: of a few examples.
        outputs_of: those of given inputs.
    """
    if not loss.weighted:
        return
    most = _most_rows(outputs)
    if isinstance(train, Examples):
        rows = torch.randperm(len(train), generator=generator(0, "weights"))[:most]
    else:
        rows = telling_rows(train, most)
    targets = _targets(train, rows)
    try:
        lacking = checks.lacking(loss, _repeated(outputs, len(rows)), targets).cpu()
    except Exception:  # outputs of other examples may not go with these targets
        lacking = torch.ones(len(rows), dtype=torch.bool)
    if bool(lacking.any()):
        few = rows[lacking.argsort(descending=True, stable=True)][: len(tree_leaves(outputs)[0])]
        inputs, targets = train.take(few)
        checks.check_gradient(loss, outputs_of(inputs), targets)


def check_weights_constant(loss: UserLoss, outputs: Any, others: Any, targets: Any) -> None:
    """Raise ModelError where weights differ between outputs of the same examples at different parameters."""
    if loss.weighted:
        _explained(loss, lambda one, given: checks.check_constant(loss, one, others, given), outputs, targets)


def weighed_rows(loss: Loss, train: ExampleSet, rows: Int64[Tensor, " few"], outputs: Any) -> Int64[Tensor, " few"]:
    """These few rows, whose outputs are given, or where the loss counts none of them as many others that it does."""
    more = torch.cat([rows, telling_rows(train, _most_rows(outputs))])
    try:
        weights = loss.entries(_repeated(outputs, len(more)), train.take(more)[1])[1]
    except Exception:  # outputs of other examples may not go with these targets
        return rows
    if weights is None or bool(weights[: len(rows)].any()) or not bool(weights.any()):
        return rows
    return more[weights.cpu() > 0][: len(rows)]


def unchecked(function: Loss | Metric) -> Loss | Metric:
    """The same, whose one number may be no mean of those of its examples: that is for `weighing` to say."""
    return replace(function, random=True) if isinstance(function, UserLoss) else function


def check_metric(metric: Metric, outputs: Any, targets: Any) -> None:
    """Raise ModelError unless the metric has one value per example, and a weight for each if it is weighted."""
    count = len(tree_leaves(targets)[0])
    try:
        if isinstance(metric, UserLoss) and isinstance(metric.function(outputs, targets), tuple | list):
            metric.check(outputs, targets)
        values = unchecked(metric).entries(outputs, targets)[0]
    except ModelError:
        raise
    except Exception as error:
        msg = f"The metric {metric.name!r} cannot take outputs {shapes(outputs)} and targets {shapes(targets)}: {error}"
        raise ModelError(msg) from error
    if values.shape != (count,):
        msg = (
            f"The metric {metric.name!r} gave shape {tuple(values.shape)} for {count} examples; return one value each."
        )
        raise ModelError(msg)


def shapes(tree: Any) -> str:
    """Dtypes and shapes of a tree of tensors, for messages."""
    if isinstance(tree, Tensor):
        return f"{str(tree.dtype).removeprefix('torch.')} {tuple(tree.shape)}"
    if isinstance(tree, Mapping):
        return "{" + ", ".join(f"{key}: {shapes(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, tuple | list):
        return "(" + ", ".join(shapes(value) for value in tree) + ")"
    return type(tree).__name__


def _explained(loss: UserLoss, check: Callable[[Any, Any], Any], outputs: Any, targets: Any) -> Any:
    try:
        return check(outputs, targets)
    except ThalwegError:
        raise
    except Exception as error:
        given = f"outputs {shapes(outputs)} and targets {shapes(targets)}"
        msg = f"The {loss.kind} {loss.name!r} cannot take {given}: {error}"
        if "expected scalar type" in str(error):
            msg += "; put the loss's own tensors into the dtype of the outputs, as by weight.to(output)."
        raise ModelError(msg) from error


def _targets(examples: ExampleSet, rows: Int64[Tensor, " rows"]) -> Any:
    """Those of these rows; where they are in memory, without a copy of their inputs."""
    if isinstance(examples, Examples):
        return tree_map(lambda leaf: leaf.index_select(0, rows.to(leaf.device)), examples.targets)
    return examples.take(rows)[1]


def _joined(trees: list[Any]) -> Any:
    return tree_map(lambda *leaves: torch.cat(leaves), *trees)


def _repeated(outputs: Any, count: int) -> Any:
    """Outputs of a few examples again and again, as many as `count`."""
    return tree_map(lambda leaf: leaf[torch.arange(count, device=leaf.device) % len(leaf)], outputs)


def _most_rows(outputs: Any) -> int:
    """Of how many examples outputs like those of a few take little memory."""
    leaves = tree_leaves(outputs)
    size = sum(leaf.nelement() * leaf.element_size() for leaf in leaves) / len(leaves[0])
    return max(8, min(_MOST_ROWS, int(_MOST_BYTES / max(1, size))))
