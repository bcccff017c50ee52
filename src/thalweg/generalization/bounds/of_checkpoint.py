"""The families that need a network and no training: quantized weights, noise around it, examples it has not seen."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.special import gammaln
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.generalization.bounds.arguments import Array
from thalweg.generalization.bounds.finite_class import occam
from thalweg.generalization.bounds.gibbs import gibbs_wrong, wrong
from thalweg.generalization.bounds.hold_out import hold_out
from thalweg.generalization.bounds.pac_bayes import monte_carlo, pac_bayes_kl
from thalweg.generalization.bounds.rows import GIBBS, NETWORK, QUANTIZED, BoundRow
from thalweg.population import Plan, Population, Problem

BITS = (2, 3, 4, 6, 8)  # of a quantized weight
SIGMAS = (0.003, 0.01, 0.03, 0.1, 0.3)  # standard deviations of the noise
_PILOT = 4  # draws by which sigma is chosen, apart from those that count


def unseen(
    problem: Problem, population: Population, examples: ExampleSet, delta: float, *, plan: Plan | str
) -> BoundRow:
    """Hold-out."""
    m = len(examples)
    error = wrong(problem, population, examples, plan=plan)
    bound = hold_out(np.round(error * m), m, delta)
    return BoundRow("hold-out", bound, error, NETWORK, m, 1 - delta, note="examples it was not trained on")


def quantized(population: Population, bits: int) -> Population:
    """Every tensor rounded to 2^bits numbers at equal distances from its smallest to its largest.

    >>> import thalweg as tw
    >>> from thalweg.generalization.bounds.of_checkpoint import quantized
    >>> population = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits()).initialize(1)
    >>> len(quantized(population, 2).theta[0, :640].unique())
    4
    """
    theta = population.theta.clone()
    for view in population.layout.views(theta).values():
        flat = view.reshape(len(view), -1)
        low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
        step = ((high - low) / (2**bits - 1)).clamp_min(torch.finfo(theta.dtype).tiny)
        flat.copy_(low + ((flat - low) / step).round() * step)
    return population.with_theta(theta if population.mask is None else theta * population.mask)


def measured_bits(population: Population) -> int:
    """Bits of what layers measured of the data, such as running statistics, which are written as they are.

    >>> import thalweg as tw
    >>> from thalweg.generalization.bounds.of_checkpoint import measured_bits
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> measured_bits(problem.initialize(1))
    0
    """
    found = [buffer[0] for buffer in population.running.values() if buffer.is_floating_point()]
    return sum(one.numel() * torch.finfo(one.dtype).bits for one in found)


def mask_bits(population: Population) -> Array:
    """Bits that say which weights are kept, of every member: how many, and which of all such choices; 0 without a mask.

    A mask that training chose has seen the examples, as weights have.

    >>> import torch
    >>> import thalweg as tw
    >>> from thalweg.generalization.bounds.of_checkpoint import mask_bits
    >>> population = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits()).initialize(2)
    >>> half = population.with_mask(torch.arange(650) % 2 == 0)
    >>> mask_bits(population).tolist(), mask_bits(half).round().tolist()
    ([0.0, 0.0], [654.0, 654.0])
    """
    if population.mask is None:
        return np.zeros(len(population))
    whole = population.layout.parameters
    kept = population.mask.expand(len(population), whole).sum(1).double().cpu().numpy()
    choices = gammaln(whole + 1) - gammaln(kept + 1) - gammaln(whole - kept + 1)
    return np.log2(whole + 1) + choices / np.log(2)


def written(
    problem: Problem, population: Population, examples: ExampleSet, delta: float, *, plan: Plan | str
) -> BoundRow:
    """Occam's bound of the network with quantized weights, at the best of a few numbers of bits."""
    m, layout, kept = len(examples), population.layout, measured_bits(population)
    errors = np.stack([wrong(problem, quantized(population, bits), examples, plan=plan) for bits in BITS])
    free = np.full(len(population), float(layout.parameters))
    if population.mask is not None:
        free = population.mask.expand(population.theta.shape).sum(1).double().cpu().numpy()
    ends = 2 * torch.finfo(population.theta.dtype).bits  # of a tensor's range
    rest = ends * len(layout.entries) + kept + mask_bits(population) + np.log2(len(BITS))
    lengths = np.stack([bits * free + rest for bits in BITS])
    bounds = occam(errors, m, lengths, delta)
    best = bounds.argmin(0)
    at = best, np.arange(len(population))
    note = f"the best of {', '.join(map(str, BITS))} bits a weight"
    return BoundRow("Occam, quantized weights", bounds[at], errors[at], QUANTIZED, m, 1 - delta, note=note)


def around(
    problem: Problem,
    population: Population,
    initial: Population,
    examples: ExampleSet,
    delta: float,
    *,
    draws: int,
    monte_carlo_delta: float,
    seed: int,
    plan: Plan | str,
    advance: Callable[[int, int], None],
) -> BoundRow:
    """PAC-Bayes with noise of one size around the initialization, the prior, and around the network, the posterior.

    Cost: a pass for each draw, and 4 for each of five sizes to choose one of them; `advance` is told how many of all
        are done.
    """
    m, members = len(examples), len(population)
    theta, start = population.theta.double(), initial.theta.double().expand(len(population), -1)
    away = (theta - start).square()
    away = away if population.mask is None else away * population.mask
    square = away.sum(1).cpu().numpy()
    seeds, choosing = _seeds(seed, members), _PILOT * len(SIGMAS)

    def of(std: Tensor, count: int, stream: str, before: int) -> Array:
        return gibbs_wrong(
            problem,
            population,
            std,
            examples,
            draws=count,
            seeds=seeds,
            stream=stream,
            plan=plan,
            advance=lambda done: advance(before + done, choosing + draws),
        )

    # A prior has to have the mask too: a union over all of them is paid.
    kls = np.stack([square / (2 * sigma**2) for sigma in SIGMAS]) + mask_bits(population) * np.log(2)
    pilot = np.stack([of(torch.tensor([[s]]), _PILOT, f"pilot {s}", _PILOT * place) for place, s in enumerate(SIGMAS)])
    share = delta / len(SIGMAS)
    best = pac_bayes_kl(pilot, _finite(kls), m, share).argmin(0)
    std = torch.tensor([[SIGMAS[place]] for place in best])
    error = of(std, draws, "posterior", choosing)
    at = best, np.arange(members)
    bound = pac_bayes_kl(monte_carlo(error, draws, monte_carlo_delta), _finite(kls)[at], m, share)
    return BoundRow(
        "PAC-Bayes, from the initialization",
        bound,
        error,
        GIBBS,
        m,
        1 - delta - monte_carlo_delta,
        note=f"the best of {len(SIGMAS)} sizes of noise; {draws:,} draws",
    )


def _finite(kl: Array) -> Array:
    return np.nan_to_num(kl, nan=np.inf, posinf=np.inf)


def _seeds(seed: int, members: int) -> Sequence[int]:
    return [seed + member for member in range(members)]
