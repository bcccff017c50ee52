"""What is to be said of inputs and of a program, that makes a kernel a poor guide."""

import torch
from torch import Tensor

from thalweg.ntk.reading import Program

SMALL, LARGE = 0.1, 10.0  # root mean square of inputs that are called scaled


def of_inputs(x1: Tensor, x2: Tensor | None) -> tuple[str, ...]:
    """Sentences about inputs that are not scaled, and rows that occur several times."""
    if not x1.is_floating_point():
        return ()
    notes = []
    size = float(x1.double().square().mean().sqrt())
    if not SMALL <= size <= LARGE:
        notes.append(
            f"The inputs are not scaled: their root mean square is {size:.3g}. Biases then count for nothing or for all; "
            "center the inputs and divide by their standard deviation."
        )
    copies = len(x1) - len(torch.unique(x1.flatten(1) if x1.dim() > 1 else x1[:, None], dim=0))
    if x2 is None and copies:
        notes.append(f"{copies} of the inputs are copies of others, so that the kernel is singular; leave them out.")
    return tuple(notes)


def of_program(program: Program) -> float:
    """A bound on the absolute error of any second moment that the series of activations leave."""
    return max((float(step.dual.error) for step in program.steps if hasattr(step, "dual")), default=0.0)
