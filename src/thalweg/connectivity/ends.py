"""The two ends of a path: whether there are networks between them, and one order for each pair."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase

from thalweg.errors import UsageError, check_type
from thalweg.evaluation.anchors import check_anchors
from thalweg.evaluation.running_statistics import renewed_layers
from thalweg.population import Population, Problem
from thalweg.population.derivatives import check_steady


def check_ends(
    what: str,
    problem: Problem,
    ends: Sequence[Population],
    *,
    statistics: str = "recompute",
    otherwise: str | None = 'statistics="interpolate"',
) -> None:
    """Raise UsageError unless what lies between these networks are networks of the problem; `what` names who asks.

    Before anything is trained or evaluated. A model that draws random numbers or writes into its parameters in
    evaluation mode raises ModelError. Refused are other architectures (every difference is listed), different frozen
    parameters, and other buffers that differ: whole numbers have none between them, and "recompute" renews no others
    than those of normalization layers. `otherwise` is what to write for the weighted sums of these, where who asks
    knows such.
    """
    check_type(f"{what} problem", problem, Problem, "a Problem")
    check_anchors(what, ends)
    for end in ends:
        problem.check(end)
    check_steady(problem, "points cannot be compared")
    first, *others = ends
    renewed = _of_normalization(first)
    for name, buffer in first.running.items():
        if name in renewed or all(torch.equal(buffer, other.buffers[name]) for other in others):
            continue
        same = f"to take the first's for both write replace(second, buffers={{**second.buffers, {name!r}: "
        same += f"first.buffers[{name!r}]}}), with replace of dataclasses"
        if not buffer.is_floating_point():
            msg = f"The buffer {name!r} holds whole numbers that differ between the ends, and {what} has no weighted "
            msg += f"sums of such; {same}."
            raise UsageError(msg)
        if statistics == "recompute":
            msg = f"The buffer {name!r} differs between the ends and is not among what normalization layers renew, "
            instead = "" if otherwise is None else f"write {otherwise}, or "
            msg += f"so that recomputing running statistics leaves it as it is; {instead}{same}."
            raise UsageError(msg)


def _of_normalization(population: Population) -> set[str]:
    """Names of the buffers that normalization layers renew, and of counts of batches, which nothing depends on."""
    renewed = renewed_layers(population.template)
    return {
        f"{path}.{leaf}".lstrip(".")
        for path, layer in population.template.named_modules()
        if isinstance(layer, _NormBase)
        for leaf in ("running_mean", "running_var", "num_batches_tracked")
        if path in renewed or leaf == "num_batches_tracked"
    }


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of networks, each in the one order that does not depend on which end was called the first.

    What is computed from start to end is then the same to the bit for either order of what was given.

    Args:
        start, end: of every line.
        swapped: whether start is what was called the second: (members,).
        same: whether the two are one network: (members,).
    """

    start: Population
    end: Population
    swapped: Bool[Tensor, " members"]
    same: Bool[Tensor, " members"]

    @classmethod
    def of(cls, first: Population, second: Population, *, buffers: bool = False) -> "Pairs":
        """Pairs by the first number in which the two differ; `buffers`: their running statistics count as well."""
        one, two = (_numbers(population, buffers=buffers) for population in (first, second))
        differ = one != two
        place = differ.int().argmax(1, keepdim=True)
        swapped = (one.gather(1, place) > two.gather(1, place)).flatten()
        start, end = (
            replace(
                first,
                theta=_chosen(swapped, b.theta, a.theta),
                buffers={name: _chosen(swapped, b.buffers[name], a.buffers[name]) for name in first.buffers},
                mask=None,
            )
            for a, b in ((first, second), (second, first))
        )
        return cls(start, end, swapped.cpu(), ~differ.any(1).cpu())

    def sharing(self) -> int:
        """How many pairs have a network, by its parameters, that another pair has, too."""
        ends = [one.theta.cpu() for one in (self.start, self.end)]
        networks = [
            {hash(theta[pair].contiguous().view(torch.uint8).numpy().tobytes()) for theta in ends}
            for pair in range(len(self.start))
        ]
        often = Counter(network for both in networks for network in both)
        return sum(any(often[network] > 1 for network in both) for both in networks)


def _numbers(population: Population, *, buffers: bool) -> Tensor:
    """Everything of each member that tells its network from another: (members, numbers)."""
    if not buffers:
        return population.theta
    kept = [buffer.reshape(len(population), -1).to(population.theta) for buffer in population.running.values()]
    return torch.cat([population.theta, *kept], 1)


def _chosen(which: Bool[Tensor, " members"], yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(which.view(-1, *(1 for _ in no.shape[1:])), yes, no)
