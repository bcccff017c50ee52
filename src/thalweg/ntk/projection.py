"""Random projections of gradients: a few features of every example whose products are about the kernel's entries."""

import time
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.data import ExampleSet
from thalweg.errors import UsageError, check_choice, check_count, check_type
from thalweg.evaluation import Sample, as_sample
from thalweg.figures import Axis, Figure, HeatMap
from thalweg.guard import guarded
from thalweg.ntk.inputs import remarks_on_inputs
from thalweg.ntk.jacobians import Jacobians
from thalweg.population import Population, Problem
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.randomness import generator
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.spectra import Estimate

OUTPUTS = ("trace", "full")
_AT_ONCE = 2**22  # numbers of kernels that are made together


@dataclass(frozen=True, eq=False)
class Projection(Result):
    """What `projection` found.

    Args:
        features: J s_j, so that the kernel is about their mean product over j: (members, features, examples, outputs).
        outputs: "trace" or "full".
        reading: "kernel", with its standard error over the features: (member, example, other example), the mean over
            outputs; or (member, example, other example, output, other output).
    """

    features: Float[Tensor, "members features examples outputs"] = field(repr=False)
    outputs: str

    def against(self, other: "Projection") -> Estimate:
        """The kernel of these examples with those of another projection, and its standard error.

        Args:
            other: made with the same population, number of features and seed, on other examples.

        Raises:
            UsageError: projections that do not go together.
        """
        check_type("against other", other, Projection, "a Projection, such as of the test examples")
        mine, theirs = self.features, other.features
        same = mine.shape[:2] == theirs.shape[:2] and self.reading.provenance.seed == other.reading.provenance.seed
        if not same or self.outputs != other.outputs or mine.shape[3] != theirs.shape[3]:
            msg = (
                "Two projections go together where members, features, seed and outputs are the same; got "
                f"{tuple(mine.shape)} of seed {self.reading.provenance.seed} and {tuple(theirs.shape)} of seed "
                f"{other.reading.provenance.seed}."
            )
            raise UsageError(msg)
        return _kernel(mine, theirs, self.outputs)

    def figure(self, member: int = 0) -> Figure:
        """The kernel of one member, the mean over outputs.

        Raises:
            UsageError: no such member.
        """
        kernels = self["kernel"]
        if not -len(kernels) <= member < len(kernels):
            msg = f"There is no member {member}; there are {len(kernels)} (0 to {len(kernels) - 1})."
            raise UsageError(msg)
        kernel = kernels[member]
        if kernel.ndim == 4:
            kernel = np.trace(kernel, axis1=2, axis2=3) / kernel.shape[2]
        at = np.arange(len(kernel))
        axes = Axis("example"), Axis("other example"), Axis("kernel")
        return Figure.of(self.reading.name, (HeatMap(at, at, kernel),), *axes, caption=" ".join(self.reading.notes))


@guarded
def projection(
    problem: Problem,
    population: Population,
    features: int = 1_024,
    *,
    on: Sample | str | ExampleSet = "train",
    outputs: str = "trace",
    seed: int = 0,
    progress: Watcher | None = automatic,
) -> Projection:
    """The tangent kernel by random projections of the gradients, with the standard error of every entry.

        Theta(x, x') = J(x) J(x')^T  is about  mean over j of (J(x) s_j) (J(x') s_j)^T,    s_j of +1 and -1 at random

    It is unbiased, and of a diagonal entry the error is at most root(2 / features) of it (Johnson & Lindenstrauss,
    1984). J s_j is a derivative along s_j for all examples at once, so that no example's gradient is formed, and s_j is
    forgotten when it is used.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> found = tw.ntk.projection(problem, problem.initialize(1), 64, on=tw.Sample("train", 5))
    >>> found["kernel"].shape, found.reading.standard_errors["kernel"].shape
    ((1, 5, 5), (1, 5, 5))

    Args:
        problem, population: whose kernel; only read.
        features: how many s_j, at least 2, shared by all members.
        on: the examples: "train", "test", examples of your own, or a `Sample` of them, drawn at random.
        outputs: "trace", the mean over outputs of Theta_cc, or "full", all pairs of outputs.
        seed: of the s_j.
        progress: told how far it is.

    Raises:
        UsageError: arguments that cannot be meant, or a model that returns several tensors.
        ModelError: a model that draws random numbers in evaluation mode, or whose derivative cannot be trusted.

    Cost: about two backward passes a feature, whatever the number of outputs. Memory: the features.

    References:
        Johnson & Lindenstrauss (1984), doi:10.1090/conm/026/737400; Achlioptas (2003),
        doi:10.1016/S0022-0000(03)00025-4, on signs; Park et al. (2023), arXiv:2303.14186, on gradients of networks.
    """
    check_count("projection features", features, 2)
    check_choice("projection outputs", outputs, OUTPUTS)
    check_type("projection seed", seed, int, "a whole number such as 0")
    began, drawn = time.perf_counter(), as_sample("projection", on).draw(problem)
    jacobians = Jacobians("projection", problem, population, drawn.examples)
    members, examples, count = jacobians.shape
    found = population.theta.new_empty(members, features, examples, count)
    total = jacobians.chunks_in_all * features
    with watched(progress) as told:
        for place, (rows, some, _, push) in enumerate(jacobians.parts()):
            for j in range(features):
                found[rows, j, some] = push(_signs(population, seed, j)[rows])
                told(Progress("random projections", place * features + j + 1, total, time.perf_counter() - began))
    estimate = _kernel(found, found, outputs)
    dims = ("member", "example", "other example", "output", "other output")[: estimate.mean.ndim]
    reading = Reading(
        "tangent kernel by random projections",
        {"kernel": estimate.mean},
        {"kernel": dims},
        standard_errors={"kernel": estimate.standard_error},
        degrees_of_freedom={"kernel": features - 1},
        sample_size=examples,
        cost=Cost(time.perf_counter() - began, forwards=members, backwards=2 * members * features),
        provenance=Provenance.here(seed, str(population.theta.device), str(population.theta.dtype)),
        notes=(
            f"On {drawn.text}, in evaluation mode; {features:,} random projections.",
            "The mean over outputs." if outputs == "trace" else "All pairs of outputs.",
            *remarks_on_inputs(drawn.examples),
        ),
    )
    return Projection(reading, found, outputs)


def _signs(population: Population, seed: int, place: int) -> Float[Tensor, "members parameters"]:
    """s_j, the same for every member."""
    draw = torch.randint(2, (population.layout.parameters,), generator=generator(seed, "projection", place))
    return (2 * draw - 1).to(population.theta).expand_as(population.theta)


def _kernel(mine: Tensor, theirs: Tensor, outputs: str) -> Estimate:
    """The mean over features of products, and its standard error, in float64."""
    form = "mjac,mjbc->mjab" if outputs == "trace" else "mjac,mjbd->mjabcd"
    features, share = mine.shape[1], mine.shape[3] if outputs == "trace" else 1
    pairs = mine.shape[0] * mine.shape[2] * theirs.shape[2] * (1 if outputs == "trace" else mine.shape[3] ** 2)
    first = torch.zeros((), dtype=torch.float64, device=mine.device)
    second = torch.zeros_like(first)
    for some in torch.arange(features).split(max(1, _AT_ONCE // pairs)):
        products = torch.einsum(form, mine[:, some].double(), theirs[:, some].double()) / share
        first, second = first + products.sum(1), second + products.square().sum(1)
    mean = first / features
    variance = (second / features - mean.square()).clamp_min(0) / (features - 1)
    return Estimate(mean.cpu().numpy(), variance.sqrt().cpu().numpy())
