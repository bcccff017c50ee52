"""What the rate does, layer by layer: how far and in which direction a step goes, and how sure its direction is."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.curvature import hessian
from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.guard import guarded
from thalweg.optim import Adam, AMSGrad, Rule, StepHyperparameters, Updater, Wrapper, preconditioner, stability_limit
from thalweg.optim.stability import beside
from thalweg.optim.wrapper import unwrapped
from thalweg.population import Batch, Execution, Problem
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.spectra import top_eigenvalues
from thalweg.training import Run
from thalweg.training.clipping import clipping

SOME = Sample("train", 512)
_QUANTILES = (0.1, 0.5, 0.9)


@guarded
def effective_rates(problem: Problem, run: Run, *, on: Sample | str | ExampleSet = SOME) -> Result:
    """The step the run would take next, on one batch, masked and clipped as it is, by tensor and member.

    Its gradient is taken as in training: batch norm by the statistics of the batch, dropout as that step draws it.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> run = tw.train(problem, tw.Recipe(tw.optim.AdamW(1e-3), steps=20, batch_size=64), until=10)
    >>> tw.tuning.effective_rates(problem, run, on=tw.Sample("train", 100))["update / weight"].shape
    (1, 2)

    Args:
        problem: what was trained.
        run: where it stands; it is not changed.
        on: the examples of the batch: "train", "test", examples of your own, or a `Sample` of them, drawn at random.

    Returns:
        by member and tensor:
        "update / weight", |step| / |theta|, about 1e-3 where Adam works well;
        "cosine of step and descent", of the step and the negative gradient, 1 for gradient descent;
        and of RMSprop, Adam, AdamW and AMSGrad, as their conventions have it:
        "rate" (quantile), quantiles of lr / (sqrt(v_hat) + eps), what a parameter's average gradient is multiplied by;
        "signal to noise", the median of (m_hat / (sqrt(v_hat) + eps))^2, 1 where gradients agree, 0 where they cancel;
        and by member, where the rule has a `stability_limit`:
        "largest eigenvalue / stability limit", of the Hessian of the loss on the batch in evaluation mode,
        preconditioned and shortened as the step is: above 1 the step overshoots along it, on a loss that were
        quadratic.

    Raises:
        UsageError: the rule takes its gradient at another point than theta, or the run has no step left to take,
            or members that have not begun or whose moments have seen other numbers of updates.

    Cost: one gradient and one step of a copy of theta and of the rule's state; where there is a limit, 10 to 40
    products with the Hessian, too.

    References:
        Kingma & Ba (2015), arXiv:1412.6980, section 2.1, for the signal-to-noise ratio; Cohen et al. (2021),
        arXiv:2103.00065, and (2022), arXiv:2207.14484, for the limits.
    """
    began = time.perf_counter()
    check_type("effective_rates problem", problem, Problem, "a Problem")
    check_type("effective_rates run", run, Run, "a Run such as train returns")
    drawn = as_sample("effective_rates", on).draw(problem)
    if run.step >= run.recipe.steps:
        msg = (
            "The run has no step left to take; stop before its end, as by train(..., "
            f"until={run.recipe.steps - 1}), and go on with resume=run."
        )
        raise UsageError(msg)
    grid, start, counted = run.grid, run.final, run.updates
    if (counted != counted[0]).any() or (run.state.began > run.step).any():
        msg = "effective_rates needs members that have begun, with moments of one age; train the arms one by one."
        raise UsageError(msg)
    h = replace(grid.at(run.step + 1), step=int(counted[0]) + 1)
    batch = Batch.range(drawn.examples, 0, len(drawn))
    gradients, copy = torch.empty_like(start.theta), start.copy()  # in training mode, running statistics move
    execution = Execution(problem, copy, batch, seeds=run.axes["seed"].tolist(), calls=1)
    execution.gradient(batch, out=gradients, step=run.step)
    if start.mask is not None:
        gradients = gradients * start.mask
    theta, state = start.theta.clone(), {name: tensor.clone() for name, tensor in run.state.slots.items()}
    updater = Updater(run.recipe.optimizer, theta, state, problem.layout, start.mask)
    if run.recipe.optimizer.looks_ahead or updater.ascent is not None:
        msg = "effective_rates needs a rule whose gradient is taken at theta; this one takes it elsewhere."
        raise UsageError(msg)
    short = torch.ones_like(gradients[:, :1]) if grid.clip_norm is None else clipping(gradients, grid.clip_norm)
    updater.step(gradients * short, h)
    step = theta - start.theta
    entries = list(problem.layout)

    def by_tensor(function: Callable[[slice], Tensor]) -> NDArray[np.float64]:
        return torch.stack([function(entry.columns) for entry in entries], dim=1).double().cpu().numpy()

    tiny = torch.finfo(theta.dtype).tiny
    arrays = {
        "update / weight": by_tensor(lambda c: step[:, c].norm(dim=1) / start.theta[:, c].norm(dim=1).clamp_min(tiny)),
        "cosine of step and descent": by_tensor(
            lambda c: torch.nn.functional.cosine_similarity(step[:, c], -gradients[:, c], dim=1)
        ),
    }
    dims: dict[str, tuple[str, ...]] = dict.fromkeys(arrays, ("member", "tensor"))
    rule = run.recipe.optimizer
    divisor = preconditioner(rule, state, h)  # theta moves by -lr m / P, m being the gradient or its average
    if divisor is not None:
        kept = beside(theta, 1 - h.beta1**h.step if _corrected(rule) else 1.0)
        rate = beside(theta, h.lr) * kept / divisor
        if start.mask is not None:  # what is pruned has no rate
            rate = rate.masked_fill(~start.mask, torch.nan)
        at = torch.tensor(_QUANTILES, dtype=theta.dtype, device=theta.device)
        arrays["rate"] = by_tensor(lambda c: torch.nanquantile(rate[:, c], at, dim=1).mT)
        dims["rate"] = ("member", "tensor", "quantile")
        if "first_moment" in state:
            share = torch.where(rate.isnan(), torch.nan, (state["first_moment"] / divisor) ** 2)
            arrays["signal to noise"] = by_tensor(lambda c: share[:, c].nanmedian(dim=1).values)
            dims["signal to noise"] = ("member", "tensor")
    limit, products = _limit(rule, h), 0
    if limit is not None:
        matrix = hessian(problem, start, on=drawn.examples)
        top = top_eigenvalues(matrix if divisor is None else matrix.scaled(divisor.rsqrt()), 1)
        arrays["largest eigenvalue / stability limit"] = top.values[:, 0] * short[:, 0].double().cpu().numpy() / limit
        dims["largest eigenvalue / stability limit"] = ("member",)
        products = top.reading.cost.hvps
    coordinates = {"member": np.arange(len(theta)), "tensor": [entry.name for entry in entries]}
    if "rate" in arrays:
        coordinates["quantile"] = np.array(_QUANTILES)
    reading = Reading(
        "effective rates",
        arrays,
        dims,
        coordinates,
        sample_size=batch.size,
        cost=Cost(time.perf_counter() - began, forwards=len(theta), backwards=len(theta), hvps=products),
        provenance=Provenance.here(run.axes["seed"].tolist(), str(problem.device), str(problem.dtype)),
        notes=(
            f"The step after step {run.step}, on {drawn.text}.",
            *(() if limit is None else ("The largest eigenvalue is that in evaluation mode.",)),
        ),
    )
    return Result(reading)


def _corrected(rule: Rule | Wrapper) -> bool:
    """Whether the average of gradients is divided by 1 - beta1^t before it is used."""
    inner = unwrapped(rule)[1]
    return isinstance(inner, AMSGrad) or (isinstance(inner, Adam) and inner.bias_correction)


def _limit(rule: Rule | Wrapper, h: StepHyperparameters) -> float | NDArray[np.float64] | None:
    try:
        return stability_limit(rule, h)
    except UsageError:  # a rule without a closed form
        return None
