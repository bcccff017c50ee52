"""Models whose members are known to be other networks when they are stacked, by name and with the reason.

All layers of torch.nn were compared, stacked against plain, in outputs, gradients and second derivatives (see the
tests): of those that vmap computes without an error, only embeddings with a padding row are wrong.
"""

from dataclasses import dataclass

from torch import nn
from torch.nn.modules import module as torch_module

from thalweg.errors import UsageError
from thalweg.population.problem import Problem

_LOOPED = 'write plan="looped" or leave plan="auto"'


@dataclass(frozen=True)
class Obstacle:
    """Why members cannot be stacked, and what to do where they were to be."""

    reason: str
    remedy: str = _LOOPED


def unstackable(problem: Problem, *, training: bool) -> str:
    """Why members of this problem are looped, whatever is faster; empty where they may be stacked.

    >>> import torch
    >>> import thalweg as tw
    >>> from thalweg.population.unstackable import unstackable
    >>> dropping = lambda: torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Linear(64, 10))
    >>> unstackable(tw.Problem(dropping, tw.data.digits()), training=True)
    'the model or its loss draws random numbers in training mode, each member from a stream of its own'

    Raises:
        ModelError: the model cannot be called in that mode, or gives something else at a second call.
    """
    found = _obstacle(problem, training=training)
    return problem.unstacked or ("" if found is None else found.reason)


def refuse_stacked(problem: Problem, *, training: bool) -> None:
    """Raise UsageError where members that were asked to be stacked would be others, as is known before any work.

    What an audit found on the way (`Problem.unstacked`) is no reason: that work goes on, looped, and says so.
    """
    found = _obstacle(problem, training=training)
    if found is not None:
        msg = f"Members cannot be stacked: {found.reason}; {found.remedy}."
        raise UsageError(msg)


def _obstacle(problem: Problem, *, training: bool) -> Obstacle | None:
    """The first of what is known to make stacked members others in that mode."""
    if problem.draws(training=training):
        mode = "training" if training else "evaluation"
        reason = f"the model or its loss draws random numbers in {mode} mode, each member from a stream of its own"
        return Obstacle(reason)
    alone = problem.inspected(training=training).alone
    if alone:
        return Obstacle(alone)
    if not training:
        return None
    if problem.pads(training=training):
        return Obstacle("the model has an embedding with padding_idx, whose row vmap would train")
    hooked = hooked_backward(problem.template)
    if hooked is not None:
        return Obstacle(
            f"the model has a backward hook on {hooked}, which vmap does not call", f"remove the hook, or {_LOOPED}"
        )
    return None


def hooked_backward(template: nn.Module) -> str | None:
    """The first layer with a hook on its backward pass, or None."""
    if torch_module._global_backward_hooks or torch_module._global_backward_pre_hooks:
        return "all layers"
    for path, layer in template.named_modules():
        if layer._backward_hooks or layer._backward_pre_hooks:
            return f"{path!r}" if path else "the whole of it"
    return None
