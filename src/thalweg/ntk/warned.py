"""What is to be said of inputs and of a program, that makes a kernel a poor guide."""

import torch
from torch import Tensor

from thalweg.ntk.nodes.attention import Attention
from thalweg.ntk.nodes.elementwise import Activation
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
            f"The inputs are not scaled: their root mean square is {size:.3g}. Biases then count for nothing or all; "
            "center the inputs and divide by their standard deviation."
        )
    copies = _copies(x1.reshape(len(x1), -1)) if x2 is None else 0
    if copies:
        notes.append(f"{copies} of the inputs are copies of others, so that the kernel is singular; leave them out.")
    return tuple(notes)


def _copies(rows: Tensor) -> int:
    """How many rows are equal to an earlier one; those whose projection on one direction is equal are compared."""
    direction = torch.linspace(1.0, 2.0, rows.shape[1], dtype=torch.float64).sin_()
    places, order = (rows.double() @ direction).sort()
    near = (places[1:] - places[:-1]).abs() <= 1e-12 * places.abs().max()
    return int((rows[order[1:][near]] == rows[order[:-1][near]]).all(1).sum())


def of_program(program: Program) -> float:
    """The largest error of any second moment that the series of activations leave."""
    return max((float(step.dual.error) for step in program.steps if isinstance(step, Activation)), default=0.0)


def of_attention(program: Program) -> tuple[str, ...]:
    """A sentence about the standard errors of attention whose softmax is sampled."""
    errors = [error for step in program.steps if isinstance(step, Attention) for error in step.errors]
    if not errors:
        return ()
    return (
        f"Softmax attention is sampled: its standard error is up to {max(errors):.1e} of the largest entry; pairs that "
        "nearly coincide differ by as much.",
    )
