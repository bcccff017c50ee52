"""The curvature up to which a rule is stable on quadratics, and what adaptive rules divide by."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.errors import UsageError
from thalweg.optim.adam import Adam, AdamW
from thalweg.optim.amsgrad import AMSGrad
from thalweg.optim.average import Averaged
from thalweg.optim.decay import decays, shrinkage
from thalweg.optim.momentum import Momentum, Nesterov
from thalweg.optim.rmsprop import RMSprop
from thalweg.optim.rule import Rule, State
from thalweg.optim.sgd import SGD
from thalweg.optim.step_hyperparameters import StepHyperparameters
from thalweg.optim.wrapper import Wrapper, unwrapped
from thalweg.schedules import Scheduled
from thalweg.sweep import Sweep

_ADAPTIVE = (RMSprop, Adam, AdamW, AMSGrad)  # these and none that inherit: a formula changed is another rule
_KNOWN = (SGD, Momentum, Nesterov, *_ADAPTIVE)


@in_words
def stability_limit(rule: Rule | Wrapper, h: StepHyperparameters | None = None) -> float | NDArray[np.float64]:
    """The largest curvature a at which a rule is stable on the quadratic a theta^2/2: above it, theta oscillates away.

    At the limit the path alternates, theta_{t+1} = -theta_t. Where w is the weight decay of "l2" and s the share of
    itself that theta loses at a step by decoupled decay (both 0 without), that happens at

        SGD                        (2 - s) / lr - w
        Momentum                   (2 - s)(1 + beta) / lr - w
        Nesterov, "beta"           ((2 - s)(1 + beta) / lr - w) / (1 + (2 - s) beta)
                  "full"           ((2 - s)(1 + beta) / lr - w) / (3 - s)
                  "reformulated"   (2 - s)(1 + beta) / (lr (1 + 2 beta)) - w
        RMSprop                    (2 - s) / lr
        Adam, AdamW, AMSGrad       (2 - s)(1 + beta1) / (lr (1 - beta1))

    with lr (1 - beta) for lr where form = "ema". For adaptive rules a is an eigenvalue of P^(-1/2) H P^(-1/2), for the
    `preconditioner` P, as if that stood still. Where only some kinds of tensors decay (`decay_on`), all are taken to,
    which makes it a bound from below.

    Args:
        rule: such as `optim.Momentum(0.1)`; an `Averaged` one goes as the rule in it.
        h: the numbers of a step, such as `training.MemberGrid(recipe, seeds).at(step)`. None: the rule's own.

    Returns:
        The limit, or where numbers differ, that of each member (members,); infinite where the rate is 0. Without `h`
        those are the members of one seed; swept numbers times seeds need
        `stability_limit(rule, training.MemberGrid(recipe, seeds).at(step))`.

    Raises:
        UsageError: a rule without such a form, or numbers that depend on the step or on more than one axis without `h`.

    References:
        Cohen et al. (2021, arXiv:2103.00065); Cohen et al. (2022, arXiv:2207.14484) for adaptive rules.

    >>> import thalweg as tw
    >>> tw.optim.stability_limit(tw.optim.Momentum([0.1, 0.2], beta=0.9))
    array([38., 19.])
    """
    wrappers, inner = unwrapped(rule)
    h = _own(rule) if h is None else h
    coupled = type(inner) in _ADAPTIVE and inner.decay == "l2" and decays(h)
    if type(inner) not in _KNOWN or not all(isinstance(wrapper, Averaged) for wrapper in wrappers) or coupled:
        what = " of ".join(type(one).__name__ for one in (*wrappers, inner))
        what += ", whose l2 decay goes through its moments," if coupled else ""
        known = "SGD, Momentum, Nesterov, RMSprop, Adam, AdamW and AMSGrad (adaptive ones with decoupled decay)"
        msg = f"{what} has no stability limit in closed form; {known} have, also in optim.Averaged."
        raise UsageError(msg)
    with np.errstate(divide="ignore"):
        limit = _limit(inner, h)
    return limit if limit.ndim else float(limit)


def _limit(rule: Rule, h: StepHyperparameters) -> NDArray[np.float64]:
    lr, w, s = _number(h.lr), _number(0.0), _number(0.0)
    if decays(h):
        w, s = (_number(h.weight_decay), s) if rule.decay == "l2" else (w, _number(shrinkage(rule.decay, h)))
    turn = 2 - s  # theta alternates: -theta = (1 - s) theta - step, so the step is turn theta
    if isinstance(rule, Adam | AMSGrad):
        beta = _number(h.beta1)
        return turn * (1 + beta) / (lr * (1 - beta))
    if not isinstance(rule, Momentum | Nesterov):
        return turn / lr - w
    beta = _number(h.beta)  # the velocity alternates, too: v = gain g / (1 + beta)
    limit = turn * (1 + beta) / (lr * (1 - beta) if rule.form == "ema" else lr)
    look = rule.look if isinstance(rule, Nesterov) else ""
    if look == "reformulated":
        return limit / (1 + 2 * beta) - w
    ahead = {"": 0.0, "beta": beta, "full": 1.0}[look]
    return (limit - w) / (1 + turn * ahead)


def preconditioner(
    rule: Rule | Wrapper, state: State, h: StepHyperparameters
) -> Float[Tensor, "members parameters"] | None:
    """P, by which an adaptive rule divided its step, elementwise; None where the rule has none.

    The step is -lr g / P for RMSprop, and -lr m / P for Adam, AdamW and AMSGrad, so their bias corrections are in P:

        P = (1 - beta1^t) (sqrt(v / (1 - beta2^t)) + eps)

    or what `eps_place`, `bias_correction` and so on make of it.

    Args:
        rule: the rule, or a wrapper of it.
        state: what it remembers after the step: its slots by name, (members, parameters).
        h: the numbers of that step, whose `step` counts the updates that the state has seen (`Run.updates`).

    Source: Cohen et al. (2022, arXiv:2207.14484).

    >>> import torch
    >>> import thalweg as tw
    >>> rule, state = tw.optim.RMSprop(0.1, eps=0.5), {"second_moment": torch.tensor([[4.0, 9.0]])}
    >>> h = tw.optim.StepHyperparameters(rule.hyper_parameters(), step=1)
    >>> tw.optim.preconditioner(rule, state, h)
    tensor([[2.5000, 3.5000]])
    """
    inner = unwrapped(rule)[1]
    if type(inner) not in _ADAPTIVE:
        return None
    v = state["largest" if isinstance(inner, AMSGrad) else "second_moment"]
    eps = beside(v, h.eps)
    if isinstance(inner, RMSprop):
        return (v + eps).sqrt() if inner.eps_inside else v.sqrt() + eps
    corrected = not isinstance(inner, Adam) or inner.bias_correction
    first, second = (beside(v, 1 - beta**h.step if corrected else 1.0) for beta in (h.beta1, h.beta2))
    if isinstance(inner, AMSGrad) and inner.largest_of == "corrected":
        second = torch.ones_like(second)
    if isinstance(inner, Adam) and inner.eps_place == "inside":
        return first * (v / second + eps).sqrt()
    if isinstance(inner, Adam) and inner.eps_place == "uncorrected":
        eps = eps / second.sqrt()
    return first * ((v / second).sqrt() + eps)


def _own(rule: Rule | Wrapper) -> StepHyperparameters:
    """A rule's own numbers, those that are swept as columns."""
    numbers: dict[str, Any] = rule.hyper_parameters()
    sweeps = {name: value for name, value in numbers.items() if isinstance(value, Sweep)}
    axes = {value.axis or name for name, value in sweeps.items()}
    lengths = {len(value) for value in sweeps.values()}
    if any(isinstance(value, Scheduled) for value in numbers.values()) or max(len(axes), len(lengths)) > 1:
        msg = (
            "Where numbers of a rule follow schedules or are swept on several axes, its limit is that of a step; write "
            "stability_limit(rule, training.MemberGrid(recipe, seeds).at(step))."
        )
        raise UsageError(msg)
    columns = {name: torch.tensor(value.points, dtype=torch.float64)[:, None] for name, value in sweeps.items()}
    return StepHyperparameters({"schedule": 1.0} | numbers | columns, 1)


def _number(value: Any) -> NDArray[np.float64]:
    """A number as an array of no dimension, a column as (members,)."""
    return np.asarray(value.flatten() if isinstance(value, Tensor) else value, dtype=np.float64)


def beside(matrix: Tensor, value: Any) -> Tensor:
    """A number, or a column of them, as a tensor like the matrix."""
    return torch.as_tensor(value, dtype=matrix.dtype, device=matrix.device)
