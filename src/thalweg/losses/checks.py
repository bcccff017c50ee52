"""What would make the value of a user's loss another than the objective, looked for on a batch."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.errors import ModelError
from thalweg.losses.mapped import mapped, single
from thalweg.losses.of_user import UserLoss, agree, mean_of
from thalweg.losses.weighted_mean import weighted_mean
from thalweg.randomness import drew, restore, torch_states


def check_mean(loss: UserLoss, outputs: Any, targets: Any) -> None:
    """Raise ModelError when the loss of a batch is not the mean of the losses of its examples, weighted as it says.

    Then the value that is evaluated would not be the objective that is trained. It is looked for in the whole batch and
    in half of it, in which examples are others.
    """
    if loss.random:
        return
    count = len(tree_leaves(targets)[0])
    for size in {count, (count + 1) // 2}:
        batch = tree_map(lambda tensor, size=size: tensor[:size], (outputs, targets))
        loss.entries(*batch)  # which checks functions that give one number
        before = torch_states()
        found = loss.called(*batch)
        if drew(before):
            return  # it draws random numbers, and draws others for each example
        if isinstance(found, Tensor):
            if found.ndim:
                _check_apart(loss, batch, (found if found.is_floating_point() else found.double()).mean())
            continue
        _check_apart(loss, batch, loss.mean(*batch))


def _check_apart(loss: UserLoss, batch: tuple[Any, Any], whole: Tensor) -> None:
    """Raise ModelError where values or weights of an example depend on the others of the batch."""
    parts = mapped(loss._parts, *single(*batch))
    values, weights = parts["values"][:, 0], parts["weights"][:, 0] if "weights" in parts else None
    expected, scale, total = mean_of(values, weights)
    if not bool(total) or bool(agree(whole, expected, scale)):
        return
    mean = "the mean of the values" if weights is None else "sum(w l) / sum(w) of the values l and weights w"
    remedy = "leave weights as they are, they are divided by their sum" if weights is not None else "return them apart"
    msg = (
        f"The {loss.kind} {loss.name!r} of a batch is not {mean} of its examples, taken one by one: {float(whole):.6g} "
        f"against {float(expected):.6g}. Values and weights of an example may not depend on the others of the batch; "
        f"{remedy}."
    )
    raise ModelError(msg)


def lacking(loss: UserLoss, outputs: Any, targets: Any) -> Tensor:
    """Which examples have a value of weight 0: (batch,); only asked where it is weighted."""
    if loss.tells_weights:
        weights = loss.entries(outputs, targets)[1]
        return weights == 0 if weights is not None else torch.zeros(len(tree_leaves(targets)[0]), dtype=torch.bool)
    return _without_weight(loss.function(outputs, targets)[1])


def check_gradient(loss: UserLoss, outputs: Any, targets: Any) -> None:
    """Raise ModelError when the gradient by outputs is not finite for an example with a value of weight 0.

    Nothing is said of examples that count in full, nor where there is no gradient: training says what is wrong.
    """
    with torch.enable_grad():
        given = tree_map(lambda leaf: leaf.detach().requires_grad_(leaf.is_floating_point()), outputs)
        leaves = [leaf for leaf in tree_leaves(given) if leaf.requires_grad]
        used = tree_map(torch.clone, given)  # it may work in place
        try:
            if not loss.tells_weights:
                values, weights = loss.called(used, targets)
                without, mean = _without_weight(weights), weighted_mean(values, weights.to(values.dtype), 1)
            else:
                without, mean = lacking(loss, outputs, targets), loss.mean(used, targets)
            gradients = torch.autograd.grad(mean, leaves, allow_unused=True)
        except Exception:  # whatever has no derivative
            return
    found = [gradient for gradient in gradients if gradient is not None and gradient.shape[:1] == without.shape]
    if all(bool(gradient[without].isfinite().all()) for gradient in found):
        return
    msg = (
        f"The gradient of the loss {loss.name!r} is not finite at values of weight 0: 0 times a derivative that is "
        "infinite or NaN is NaN, and no member could be trained. Where the weight is 0, put something harmless in "
        "place of the target before the loss is computed, as by torch.where(weight > 0, target, 0), and leave the "
        "weight out of the values."
    )
    raise ModelError(msg)


def check_constant(loss: UserLoss, one: Any, other: Any, targets: Any) -> None:
    """Raise ModelError when the weights differ by outputs of other parameters."""
    (_, weights), (_, others) = (loss.entries(outputs, targets) for outputs in (one, other))
    if weights is None or others is None or torch.equal(weights, others):
        return
    msg = (
        f"The weights that the loss {loss.name!r} {'has' if loss.tells_weights else 'returns'} depend on the "
        "parameters of the model, so that sums over batches would have no common denominator. Take weights from the "
        "targets alone (or from what of the inputs the model passes on), and multiply what depends on the parameters "
        "into the values."
    )
    raise ModelError(msg)


def check_nothing_trained(loss: UserLoss, outputs: Any, targets: Any) -> None:
    """Raise ModelError when the loss of outputs that are constants has a gradient: by tensors of its own."""
    with torch.enable_grad():
        found = loss.function(tree_map(torch.Tensor.detach, outputs), targets)
    if any(isinstance(leaf, Tensor) and leaf.requires_grad for leaf in tree_leaves(found)):
        msg = (
            f"The {loss.kind} {loss.name!r} depends on tensors of its own that require gradients (parameters, or those "
            "of a model that it calls), and they would stay as they are: members have parameters of their own. Let the "
            "model hold them and return them beside its outputs; write weight decay into the optimizer; and detach "
            "what is a constant, as by requires_grad_(False)."
        )
        raise ModelError(msg)


def check_same_again(loss: UserLoss, outputs: Any, targets: Any) -> None:
    """Raise ModelError when the loss gives something else at a second call, or writes into its buffers."""
    module = loss.function if isinstance(loss.function, nn.Module) else None
    kept = {} if module is None else {name: copy.deepcopy(buffer) for name, buffer in module.named_buffers()}
    before = torch_states()
    first = tree_map(_plain, loss.function(tree_map(_plain, outputs), targets))
    after = torch_states()
    restore(before)
    second = tree_map(_plain, loss.function(tree_map(_plain, outputs), targets))
    restore(after)
    written = "" if module is None else _restored(module, kept)
    pairs = zip(tree_leaves(first), tree_leaves(second), strict=True)
    if not written and all(_alike(one, other) for one, other in pairs):
        return
    what = f"writes into its buffer {written!r}" if written else "gives something else at a second call"
    msg = (
        f"The {loss.kind} {loss.name!r} {what} of equal outputs, targets and random stream, so its value would depend "
        "on how often it was called, and members would share what it keeps. Make it a function of outputs and targets; "
        "let the model keep what changes (register_buffer) and return it beside its outputs, draw random numbers with "
        "torch, and put networks that it calls into evaluation mode, as by .eval()."
    )
    raise ModelError(msg)


def _restored(module: nn.Module, kept: dict[str, Tensor]) -> str:
    """The name of a buffer that was written into, or nothing; all are put back."""
    written = ""
    for name, buffer in module.named_buffers():
        if name not in kept or not torch.equal(buffer.nan_to_num(), kept[name].nan_to_num()):
            written = written or name
        if name in kept and buffer.shape == kept[name].shape:
            buffer.copy_(kept[name])
    return written


def _plain(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf


def _alike(one: Any, other: Any) -> bool:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return True
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-6, atol=1e-9, equal_nan=True)


def _without_weight(weights: Tensor) -> Tensor:
    return (weights == 0).reshape(len(weights), -1).any(1)
