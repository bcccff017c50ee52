"""What a standard error of few samples is worth: an interval of 95 % is wider than 1.96 of it."""

from scipy import special


def reach(samples: int) -> float:
    """How many standard errors to either side hold 95 %: Student's t for samples - 1 degrees of freedom."""
    return float(special.stdtrit(samples - 1, 0.975))


def advice(samples: int) -> str:
    """The sentence for a reading whose standard errors are over so many samples."""
    return f"Errors are over {samples} samples: 95 % are within {reach(samples):.3g} of them (Student's t), not 1.96."
