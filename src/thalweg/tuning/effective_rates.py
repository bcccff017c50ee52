"""What the rate does, layer by layer: how far and whither a step goes, and how sure its direction is."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.optim import Updater
from thalweg.population import Batch, Problem
from thalweg.population.derivatives import gradient
from thalweg.results import Provenance, Reading
from thalweg.training import Run, Unfolded

_QUANTILES = (0.1, 0.5, 0.9)


def effective_rates(problem: Problem, run: Run, *, examples: int = 512) -> Reading:
    """The step the run would take next, on one batch, tensor by tensor and member by member.

    Args:
        problem: what was trained.
        run: where it stands; it is not changed.
        examples: of the training set, the first so many, for the gradient.

    Returns:
        by member and tensor:
        "update / weight", |step| / |theta|, about 1e-3 where Adam works well;
        "cosine of step and descent", of the step and the negative gradient, 1 for gradient descent;
        and where the rule keeps a second moment:
        "rate" (quantile), quantiles of lr / (sqrt(v_hat) + eps), what a parameter's gradient is multiplied by;
        "signal to noise", the median of m_hat^2 / v_hat, 1 where gradients agree, 0 where they cancel.

    Raises:
        UsageError: the rule takes its gradient ahead of theta, or the run has no step left to take.

    Cost: one gradient and one step of a copy of theta and of the rule's state.

    References:
        Kingma & Ba (2015), arXiv:1412.6980, section 2.1, for the signal-to-noise ratio.
    """
    if run.recipe.optimizer.looks_ahead:
        msg = "effective_rates needs a rule whose gradient is taken at theta; this one looks ahead."
        raise UsageError(msg)
    unfolded = Unfolded(run.recipe, list(dict.fromkeys(run.axes["seed"].tolist())))
    h = unfolded.at(min(run.step + 1, run.recipe.steps))
    h = replace(h, step=run.step + 1)
    start = run.final
    batch = Batch.of(problem.data.train, torch.arange(min(examples, len(problem.data.train)))[None])
    slope = gradient(problem, start, batch)
    theta, state = start.theta.clone(), {name: tensor.clone() for name, tensor in run.state.slots.items()}
    Updater(run.recipe.optimizer, theta, state, problem.layout).step(slope.clone(), h)
    step = theta - start.theta
    entries = list(problem.layout)

    def by_tensor(function: Callable[[slice], Tensor]) -> NDArray[np.float64]:
        return torch.stack([function(entry.columns) for entry in entries], dim=1).double().cpu().numpy()

    tiny = torch.finfo(theta.dtype).tiny
    arrays = {
        "update / weight": by_tensor(lambda c: step[:, c].norm(dim=1) / start.theta[:, c].norm(dim=1).clamp_min(tiny)),
        "cosine of step and descent": by_tensor(
            lambda c: torch.nn.functional.cosine_similarity(step[:, c], -slope[:, c], dim=1)
        ),
    }
    dims: dict[str, tuple[str, ...]] = dict.fromkeys(arrays, ("member", "tensor"))
    moments = {"first_moment", "second_moment"} & set(state)
    if "second_moment" in moments and {"beta2", "eps"} <= set(h.numbers):
        corrected = state["second_moment"] / _column(1 - h.beta2**h.step, theta)
        rate = _column(h.lr, theta) / (corrected.sqrt() + _column(h.eps, theta))
        at = torch.tensor(_QUANTILES, dtype=theta.dtype, device=theta.device)
        arrays["rate"] = by_tensor(lambda c: torch.quantile(rate[:, c], at, dim=1).mT)
        dims["rate"] = ("member", "tensor", "quantile")
        if "first_moment" in moments:
            m_hat = state["first_moment"] / _column(1 - h.beta1**h.step, theta)
            share = m_hat**2 / corrected.clamp_min(tiny)
            arrays["signal to noise"] = by_tensor(lambda c: share[:, c].median(dim=1).values)
            dims["signal to noise"] = ("member", "tensor")
    coordinates = {"member": np.arange(len(theta)), "tensor": [entry.name for entry in entries]}
    if "rate" in arrays:
        coordinates["quantile"] = np.array(_QUANTILES)
    return Reading(
        "effective rates",
        arrays,
        dims,
        coordinates,
        sample_size=batch.size,
        provenance=Provenance.here(run.axes["seed"].tolist(), str(problem.device), str(problem.dtype)),
        notes=(f"The step after step {run.step}, on the first {batch.size} training examples.",),
    )


def _column(value: object, theta: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=theta.dtype, device=theta.device)
