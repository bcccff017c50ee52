"""What is to be said of the program of a limit, that makes its kernel a poor guide."""

from thalweg.ntk.nodes.attention import Attention
from thalweg.ntk.nodes.elementwise import Activation
from thalweg.ntk.reading import Program

TOLD = 1e-6  # error of an activation, from which it is said


def of_program(program: Program) -> float:
    """The largest certified error of any one activation, of its second moments or of those of its derivative."""
    duals = [step.dual for step in program.steps if isinstance(step, Activation)]
    return max((float(max(dual.error, dual.derivative_error)) for dual in duals), default=0.0)


def of_activations(program: Program) -> tuple[str, ...]:
    """A sentence about series that end far from what they stand for, as at kinks."""
    error = of_program(program)
    if error < TOLD:
        return ()
    return (
        f"The series of an activation leaves up to {error:.1e} of its second moments, or of its derivative's, in one "
        "layer; what layers behind it make of that is not bounded.",
    )


def forget(program: Program) -> None:
    """The standard errors of an earlier call, which are no part of the next one's notes."""
    for step in program.steps:
        if isinstance(step, Attention):
            step.errors.clear()


def of_attention(program: Program) -> tuple[str, ...]:
    """A sentence about the standard errors of attention whose softmax is sampled."""
    errors = [error for step in program.steps if isinstance(step, Attention) for error in step.errors]
    if not errors:
        return ()
    return (
        f"Softmax attention is sampled: its standard error is up to {max(errors):.1e} of the largest entry; pairs that "
        "nearly coincide differ by as much.",
    )
