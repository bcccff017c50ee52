"""Whether a model computes one function, with gradients and without."""

import warnings
from typing import Any

import torch

from thalweg.population.agreement import Named, compare
from thalweg.population.alone import named_outputs
from thalweg.population.binding import call
from thalweg.population.copying import copied
from thalweg.population.noise import moved_tree
from thalweg.population.problem import Problem
from thalweg.randomness import global_stream


def note_two_paths(problem: Problem) -> None:
    """Warn, once a problem, where outputs in evaluation mode are others when gradients are taken; by how much is said.

    Kernels that torch takes without gradients only are avoided (see `attention`); this is for those of a user's own.

    >>> import torch
    >>> import thalweg as tw
    >>> from thalweg.population.one_function import note_two_paths
    >>> note_two_paths(tw.Problem(lambda: torch.nn.Linear(64, 10), tw.data.digits()))

    Cost: two forward passes on eight examples.
    """
    if problem.two_paths is not None:
        return
    inputs = problem.preflight.examples()[0]

    def outputs(gradients: bool, size: float = 0.0, draw: int = 0) -> Named:
        module = copied(problem.template).eval()
        own = list(module.parameters())
        with torch.no_grad():
            for parameter, value in zip(own, moved_tree(own, size, draw), strict=True):
                parameter.copy_(value)
        with global_stream(0, "preflight"), torch.set_grad_enabled(gradients):
            found: Any = call(module, inputs)
        return {name: leaf.detach().unsqueeze(0) for name, leaf in named_outputs(found, {}).items()}

    off = compare(outputs(True), outputs(False), lambda size, draw: outputs(False, size, draw), problem.precision)
    problem.two_paths = ""
    if off is not None and not off.rounding:
        problem.two_paths = f"the two differ by {off}"
        msg = (
            "In evaluation mode the model computes something else where gradients are taken than where they are not: "
            f"{problem.two_paths}. Losses that are evaluated are of the one, derivatives of the other; let "
            "forward not depend on torch.is_grad_enabled()."
        )
        warnings.warn(msg, stacklevel=4)
