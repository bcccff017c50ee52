"""Whether networks answer alike when their inputs are transformed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.arguments import in_words
from thalweg.data import Examples, ExampleSet
from thalweg.errors import UsageError, check_count, check_type
from thalweg.evaluation import Sample, as_sample, outputs
from thalweg.figures import Axis, Bars, Figure, Line
from thalweg.generalization.simplicity.checkpoints import predicted
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.randomness import generator
from thalweg.results import Provenance, Reading, Result

Array = NDArray[np.float64]
Transformation = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Symmetry(Result):
    """What `symmetry` found.

    Args:
        reading: by member and transformation, (member, transformation): "equivariance error", NaN where outputs are no
            numbers, which are wrong answers; where targets are classes
            "accuracy" on transformed inputs, "drop", how much less that is than on the inputs as they are, and
            "agreement", the share of the examples whose predicted class stays. "accuracy as is" (member,).
    """

    def figure(self) -> Figure:
        """The mean accuracy, or the error without classes, under each transformation."""
        names = self.reading.coordinate("transformation")
        shown = "accuracy" if "accuracy" in self.reading.arrays else "equivariance error"
        values = self[shown]
        if names.dtype.kind in "iuf":
            marks = [Line(names, one, thin=True) for one in values] + [Line(names, values.mean(0), label="mean")]
            return Figure.of("Under transformations", marks, Axis("transformation"), Axis(shown))
        bars = Bars([str(name) for name in names], values.mean(0))
        return Figure.of("Under transformations", [bars], Axis("transformation"), Axis(shown))


@guarded
def symmetry(
    problem: Problem,
    population: Population,
    transformations: Mapping[str, Transformation] | Mapping[int, Transformation],
    *,
    acting: Callable[[Tensor], Tensor] | Mapping[str, Transformation] | Mapping[int, Transformation] | None = None,
    on: Sample | str | ExampleSet = "test",
) -> Symmetry:
    """Accuracy under a family of transformations T of the inputs, and how far outputs are from following them.

        equivariance error(T) = rms |f(T x) - S f(x)| / rms |f(x) - mean over x of f(x)|

    S is what T should do to the outputs, nothing where the network should be invariant. It is 0 of a network with the
    symmetry by construction, whether or not the data have it, and about 1.4 of outputs that have nothing in common.

    >>> import thalweg as tw
    >>> from thalweg.generalization import simplicity
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 10), tw.data.digits())
    >>> found = simplicity.symmetry(problem, problem.initialize(2), simplicity.rolls([0, 8]))
    >>> found["equivariance error"][:, 0].tolist(), bool((found["equivariance error"][:, 1] > 0.1).all())
    ([0.0, 0.0], True)

    Args:
        problem, population: in evaluation mode; only read. Inputs are one tensor.
        transformations: by name, or by number, a function of a batch of inputs that keeps its shape: `rolls`,
            `permutation`, or the user's.
        acting: on the outputs (members, examples, outputs): one function for all transformations, or one of each name;
            None: none, the network should not change its answer.
        on: the examples.

    Raises:
        UsageError: inputs that are not one tensor, or a transformation that changes their shape or is no function.

    Cost: an evaluation a transformation, and one of the inputs as they are.

    Papers: Cohen & Welling (2016), arXiv:1602.07576; Gruver et al. (2023), arXiv:2210.02984.
    """
    check_type("symmetry problem", problem, Problem, "a Problem")
    check_type("symmetry population", population, Population, "a Population such as run.final")
    write = "functions of inputs by name, such as simplicity.rolls([0, 1, 3])"
    check_type("symmetry transformations", transformations, Mapping, write)
    if not transformations:
        msg = f"symmetry transformations needs at least one; write {write}."
        raise UsageError(msg)
    drawn = as_sample("symmetry", on).draw(problem)
    inputs, targets = drawn.examples.slice(0, len(drawn))
    if not isinstance(inputs, Tensor) or not isinstance(targets, Tensor):
        msg = "symmetry needs one tensor of inputs and one of targets; make transformed examples of others by yourself."
        raise UsageError(msg)
    plain = _answers(problem, population, inputs, targets)
    spread = (plain - plain.mean(1, keepdim=True)).flatten(1).square().mean(1).sqrt()
    classes = targets.cpu() if targets.ndim == 1 and not targets.is_floating_point() and plain.ndim == 3 else None
    follows: dict[str | int, Transformation] = dict(acting.items()) if isinstance(acting, Mapping) else {}
    everywhere = None if isinstance(acting, Mapping) else acting
    if isinstance(acting, Mapping) and set(follows) != set(transformations):
        msg = f"symmetry acting must have one function of each transformation, {', '.join(map(str, transformations))}; "
        raise UsageError(msg + f"got {', '.join(map(str, follows))}.")
    errors, right, agree = [], [], []
    for name, transform in transformations.items():
        moved = transform(inputs) if callable(transform) else None
        if not isinstance(moved, Tensor) or moved.shape != inputs.shape:
            got = tuple(moved.shape) if isinstance(moved, Tensor) else type(moved).__name__
            msg = (
                f"Transformation {name!r} must be a function from inputs {tuple(inputs.shape)} to such; it gave {got}."
            )
            raise UsageError(msg)
        found = _answers(problem, population, moved, targets)
        follow = follows.get(name, everywhere)
        expected = plain if follow is None else follow(plain)
        size = (found - expected).flatten(1).square().mean(1).sqrt()
        error = torch.where(spread > 0, size / spread, torch.where(size > 0, torch.inf, 0.0))
        errors.append(torch.where(size.isnan() | spread.isnan(), torch.nan, error))
        if classes is not None:
            answers = predicted(found)
            right.append((answers == classes).double().mean(1))
            agree.append(((answers == predicted(plain)) & (answers >= 0)).double().mean(1))
    arrays = {"equivariance error": torch.stack(errors, 1).numpy()}
    dims: dict[str, tuple[str, ...]] = {"equivariance error": ("member", "transformation")}
    if classes is not None:
        as_is = (predicted(plain) == classes).double().mean(1).numpy()
        accuracy = torch.stack(right, 1).numpy()
        more = {"accuracy": accuracy, "drop": as_is[:, None] - accuracy, "agreement": torch.stack(agree, 1).numpy()}
        arrays |= more | {"accuracy as is": as_is}
        dims |= dict.fromkeys(more, ("member", "transformation")) | {"accuracy as is": ("member",)}
    reading = Reading(
        "symmetry",
        arrays,
        dims,
        {"member": np.arange(len(population)), "transformation": list(transformations)},
        sample_size=len(drawn),
        provenance=Provenance.here(None, str(problem.device), str(problem.dtype)),
        notes=(f"On {drawn.text}.",),
    )
    return Symmetry(reading)


@in_words
def rolls(shifts: Sequence[int], dim: int = -1) -> dict[int, Transformation]:
    """Rolls of inputs along a dimension, what leaves at one end entering at the other: {shift: function}.

    >>> import torch
    >>> from thalweg.generalization import simplicity
    >>> simplicity.rolls([1])[1](torch.tensor([[1, 2, 3]])).tolist()
    [[3, 1, 2]]

    Args:
        shifts: by how many places.
        dim: along which; not the first, which is that of the examples.

    Raises:
        UsageError: the dimension of the examples, or shifts that are no whole numbers.
    """
    if dim == 0:
        msg = "rolls dim 0 is that of the examples; name one of an input's, such as -1."
        raise UsageError(msg)
    for shift in shifts:
        check_type("rolls shifts", shift, int, "whole numbers")
    return {shift: lambda x, shift=shift: torch.roll(x, shift, dim) for shift in shifts}


def permutation(size: int, *, seed: int = 0, dim: int = -1) -> Transformation:
    """One fixed random order of the entries along a dimension.

    >>> import torch
    >>> from thalweg.generalization import simplicity
    >>> simplicity.permutation(4)(torch.tensor([[1, 2, 3, 4]])).sort().values.tolist()
    [[1, 2, 3, 4]]

    Args:
        size: how many entries there are.
        seed: of the stream (seed, "permutation of inputs").
        dim: along which; not the first, which is that of the examples.

    Raises:
        UsageError: the dimension of the examples, or a size below 1.
    """
    check_count("permutation size", size)
    if dim == 0:
        msg = "permutation dim 0 is that of the examples; name one of an input's, such as -1."
        raise UsageError(msg)
    order = torch.randperm(size, generator=generator(seed, "permutation of inputs"))

    def permuted(x: Tensor) -> Tensor:
        if x.shape[dim] != size:
            msg = f"The permutation is of {size} entries; dimension {dim} of these inputs has {x.shape[dim]}."
            raise UsageError(msg)
        return x.index_select(dim, order.to(x.device))

    return permuted


def _answers(problem: Problem, population: Population, inputs: Tensor, targets: Tensor) -> Tensor:
    """(members, examples, ...), float64 on the CPU."""
    found = outputs(problem, population, Examples(inputs, targets))
    if not isinstance(found, Tensor):
        msg = "symmetry needs a model that returns one tensor; wrap it in a module that does."
        raise UsageError(msg)
    return found.double().cpu()
