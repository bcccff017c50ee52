"""How a function that gives one number for a batch weighs its examples, found by trying batches."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from thalweg.errors import DataError, ModelError
from thalweg.losses.comparison import Comparison
from thalweg.losses.domains import Domains
from thalweg.losses.of_user import UserLoss, agree, close, mean_of
from thalweg.randomness import drew, generator, torch_states

_SIZES = (2, 2, 3, 3, 5, 8, 13, 21)  # of batches drawn at random from those that it is tried on
_EXACT = 1e-5  # as near as rounding comes in float32
_WORSE = 4  # times as far off as a weighted mean, and the plain one is not meant
_VARIES = 1e-6
_PROBES = 4


def recognized(loss: UserLoss, outputs: Any, targets: Any) -> UserLoss:
    """The loss, knowing which of its divisors is the weight of an example where examples differ in weight.

    A mean over a batch B is (sum over i in B of w_i l_i) / (sum over i in B of w_i), where l_i is the loss of example i
    alone. What the function divides by for example i alone is tried as w_i, on the whole, on both halves and on batches
    drawn at random; the plain mean, w_i = 1, comes first, and comparisons with one example last.

    Args:
        loss: the user's.
        outputs, targets: of examples from all of the data, (batch, ...).

    Raises:
        ModelError: it is neither a mean nor a weighted one.
        DataError: none of the examples counts.
    """
    before = torch_states()
    with Domains():
        found = loss.called(outputs, targets)
    if not isinstance(found, Tensor) or found.ndim:
        return loss
    values, divisors = loss.singles(outputs, targets)
    if drew(before):
        _check_random(loss, outputs, targets, divisors)
        return replace(loss, random=True)
    if bool(values.isnan().all()) and bool((divisors == 0).all(0).any()):
        msg = (
            f"The {loss.kind} {loss.name!r} counts none of the {len(values)} examples that it was tried on, drawn from "
            "all of the data: every target is ignored, or weighs 0. Give some targets that count."
        )
        raise DataError(msg)
    batches = list(_batches(len(values)))
    observed = [loss.number(*_some((outputs, targets), rows)) for rows in batches]
    rounding = close(observed[0].dtype)
    plain = _residual(values, None, batches, observed)
    found = [
        (_residual(values, divisor, batches, observed), place)
        for place, divisor in enumerate(divisors.unbind(1))
        if _weighs(divisor)
    ]
    best, place = min(found, default=(torch.inf, -1))
    if plain <= rounding and (plain <= _EXACT or plain <= _WORSE * best):
        return loss
    if best <= rounding:
        weighted = replace(loss, weighted=True, divisor=place, counting=_heaviest(outputs, targets, divisors[:, place]))
        if _holds(weighted, outputs, targets):
            return weighted
    for comparison in _comparisons(loss, outputs, targets, values):
        weights = comparison.weights(loss.number, outputs, targets)
        if not bool((weights >= 0).all()) or _residual(values, weights, batches, observed) > rounding:
            continue
        counting = _heaviest(outputs, targets, weights)
        weighted = replace(loss, weighted=True, comparison=comparison, counting=counting)
        if _holds(weighted, outputs, targets):
            return weighted
    raise ModelError(_refusal(loss, values, divisors, batches, observed))


def _holds(loss: UserLoss, outputs: Any, targets: Any) -> bool:
    """Whether the weights that were found are found again."""
    try:
        loss.entries(outputs, targets)
        loss.mean(outputs, targets)
    except ModelError:
        return False
    return True


def _heaviest(outputs: Any, targets: Any, weights: Tensor) -> tuple[Any, Any]:
    return _some((outputs, targets), weights.argmax().reshape(1).cpu())


def _comparisons(loss: UserLoss, outputs: Any, targets: Any, values: Tensor) -> Iterator[Comparison]:
    """With a few references, and outputs of examples whose values differ; in float64, where the loss takes that."""
    counted = values.isfinite().nonzero().flatten().cpu()
    if len(counted) < 2:
        return
    order = counted[values[counted.to(values.device)].argsort().cpu()]
    probes = order[torch.linspace(0, len(order) - 1, _PROBES).round().long()].unique()
    for place in (0, -1, len(order) // 2):
        reference = _some((outputs, targets), order[place].reshape(1))
        for dtype in (torch.float64, values.dtype):
            try:
                yield Comparison.of(loss.number, reference, _some(outputs, probes), dtype)
            except Exception:  # whatever cannot take float64
                continue
            break


def _refusal(loss: UserLoss, values: Tensor, divisors: Tensor, batches: list[Tensor], observed: list[Tensor]) -> str:
    """Why the numbers of the batches, the first of which is the whole, are no means."""
    whole = observed[0]
    for weights in (None, *divisors.unbind(1)):
        expected, scale, total = mean_of(values, weights)
        if not bool(whole.isfinite()) or len(values) < 2 or not float(total):
            continue
        if bool(agree(whole, total * expected, total * scale)):
            return (
                f"The {loss.kind} {loss.name!r} is not a mean over the batch but a sum: {float(whole):.6g} for "
                f"{len(values)} examples whose mean is {float(expected):.6g}. Divide by the batch size, or return one "
                "value per example."
            )
    off = [_residual(values, None, [rows], [got]) for rows, got in zip(batches, observed, strict=True)]
    worst = off.index(max(off))
    expected = float(mean_of(values[batches[worst].to(values.device)], None)[0])
    return (
        f"The {loss.kind} {loss.name!r} of a batch is not the mean of those of its examples, weighted or not: "
        f"{float(observed[worst]):.6g} against {expected:.6g}. {loss.remedy}"
    )


def _check_random(loss: UserLoss, outputs: Any, targets: Any, divisors: Tensor) -> None:
    """Raise ModelError where a loss that draws random numbers weighs examples, which cannot be made sure of."""
    again = loss.singles(outputs, targets)[1]
    if divisors.shape != again.shape:
        return
    for one, other in zip(divisors.unbind(1), again.unbind(1), strict=True):
        if _weighs(one) and torch.equal(one, other):
            msg = (
                f"The {loss.kind} {loss.name!r} draws random numbers and divides by what differs between examples, so "
                "whether it is a weighted mean cannot be told. Return (values, weights), one of each per example."
            )
            raise ModelError(msg)


def _weighs(divisor: Tensor) -> bool:
    """Whether these numbers may be weights that differ."""
    if not bool(divisor.isfinite().all()) or float(divisor.min()) < 0:
        return False
    return float(divisor.max() - divisor.min()) > _VARIES * float(divisor.max())


def _batches(count: int) -> Iterator[Tensor]:
    """Numbers of rows: all of them, both halves, and a few at random."""
    yield torch.arange(count)
    if count > 1:
        half = (count + 1) // 2
        yield torch.arange(half)
        yield torch.arange(half, count)
    stream = generator(0, "batches of a loss")
    for size in _SIZES:
        if size < count:
            yield torch.randperm(count, generator=stream)[:size]


def _some(tree: Any, rows: Tensor) -> Any:
    return tree_map(lambda leaf: leaf[rows.to(leaf.device)], tree)


def _residual(values: Tensor, weights: Tensor | None, batches: list[Tensor], observed: list[Tensor]) -> float:
    """How far off the weighted mean is at worst, in units of the mean magnitude; 0 where there is nothing to see."""
    worst = 0.0
    for rows, got in zip(batches, observed, strict=True):
        some = rows.to(values.device)
        expected, scale, total = mean_of(values[some], None if weights is None else weights[some])
        if not float(total):
            wrong = torch.inf if bool(got.isfinite()) and float(got) else 0.0
        elif bool(expected.isfinite()) and bool(got.isfinite()):
            wrong = float((got.double() - expected).abs() / scale.clamp_min(1e-6 / close(got.dtype)))
        else:
            wrong = 0.0 if bool(agree(got, expected, scale)) else torch.inf
        worst = max(worst, wrong)
    return worst
