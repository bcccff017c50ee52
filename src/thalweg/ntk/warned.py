"""What is to be said of the program of a limit, that makes its kernel a poor guide."""

from thalweg.ntk.nodes.attention import Attention
from thalweg.ntk.nodes.elementwise import Activation
from thalweg.ntk.reading import Program


def of_program(program: Program) -> float:
    """The largest error of any second moment that the series of activations leave."""
    return max((float(step.dual.error) for step in program.steps if isinstance(step, Activation)), default=0.0)


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
