"""What an ensemble of networks answers."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from thalweg.losses import CrossEntropy, Logistic
from thalweg.losses.names import Loss


def ensemble_outputs(loss: Loss, outputs: Sequence[Any]) -> Any:
    """The outputs of an ensemble of networks, in the form that the loss takes.

        cross-entropy    log (mean over networks of softmax(output))                 probabilities are averaged
        logistic         log-odds of (mean over networks of sigmoid(output))         so are they here
        else             mean over networks of output

    >>> import torch
    >>> import thalweg as tw
    >>> answers = [torch.tensor([0.9, 0.1]).log(), torch.tensor([0.3, 0.7]).log()]
    >>> tw.connectivity.ensemble_outputs(tw.losses.CrossEntropy(), answers).exp()
    tensor([0.6000, 0.4000])

    Args:
        loss: that of the problem: problem.loss.
        outputs: of each network, tensors of one shape, or tuples or dicts of such.
    """
    if isinstance(loss, CrossEntropy):
        return _log_mean([one.log_softmax(-1) for one in outputs])
    if isinstance(loss, Logistic):
        return _log_mean([F.logsigmoid(one) for one in outputs]) - _log_mean([F.logsigmoid(-one) for one in outputs])
    return tree_map(lambda *leaves: torch.stack(leaves).mean(0), *outputs)


def _log_mean(logs: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(logs)).logsumexp(0) - math.log(len(logs))
