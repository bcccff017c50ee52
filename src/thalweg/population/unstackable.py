"""Models whose members are known to be other networks when they are stacked, by name and with the reason.

All layers of torch.nn were compared, stacked against plain, in outputs, gradients and second derivatives (see the
tests): of those that vmap computes without an error, only embeddings with a padding row are wrong.
"""

from torch import nn
from torch.nn.modules import module as torch_module

from thalweg.errors import ModelError, UsageError
from thalweg.population.problem import Problem


def unstackable(problem: Problem, *, training: bool) -> str:
    """Why members of this problem are looped, whatever is faster; empty where they may be stacked.

    >>> import torch
    >>> import thalweg as tw
    >>> from thalweg.population.unstackable import unstackable
    >>> dropping = lambda: torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Linear(64, 10))
    >>> unstackable(tw.Problem(dropping, tw.data.digits()), training=True)
    'each member draws its own random numbers'

    Raises:
        ModelError: the model cannot be called in that mode, or gives something else at a second call.
    """
    if problem.unstacked:
        return problem.unstacked
    if problem.draws(training=training):
        return "each member draws its own random numbers"
    alone = problem.inspected(training=training).alone
    if alone or not training:
        return alone
    if problem.pads(training=training):
        return "the model has an embedding with padding_idx, whose row vmap would train"
    hooked = hooked_backward(problem.template)
    return "" if hooked is None else f"the model has a backward hook on {hooked}, which vmap does not call"


def refuse_stacked(problem: Problem, *, training: bool) -> None:
    """Raise UsageError, or ModelError for hooks, where members that were asked to be stacked would be others."""
    if problem.unstacked:  # that was found on the way and said, and the work goes on without stacking
        return
    if problem.draws(training=training):
        msg = (
            f"The model or its loss draws random numbers in {'training' if training else 'evaluation'} mode, and "
            'stacked members cannot each have their own stream; write plan="looped" or leave plan="auto".'
        )
        raise UsageError(msg)
    alone = problem.inspected(training=training).alone
    if alone:
        msg = f'Members cannot be stacked: {alone}; write plan="looped" or leave plan="auto".'
        raise UsageError(msg)
    if not training:
        return
    if problem.pads(training=training):
        msg = (
            "The model has an embedding with padding_idx, and vmap would train the padding rows of all stacked members "
            'but the first; write plan="looped" or leave plan="auto".'
        )
        raise UsageError(msg)
    hooked = hooked_backward(problem.template)
    if hooked is not None:
        msg = (
            f"The model has a backward hook on {hooked}, which is not called where members are stacked; "
            'write plan="looped" or leave plan="auto".'
        )
        raise ModelError(msg)


def hooked_backward(template: nn.Module) -> str | None:
    """The first layer with a hook on its backward pass, or None."""
    if torch_module._global_backward_hooks or torch_module._global_backward_pre_hooks:
        return "all layers"
    for path, layer in template.named_modules():
        if layer._backward_hooks or layer._backward_pre_hooks:
            return f"{path!r}" if path else "the whole of it"
    return None
