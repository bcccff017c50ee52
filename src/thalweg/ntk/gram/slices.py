"""Ranges in pieces."""


def slices(stop: int, size: int, start: int = 0) -> list[slice]:
    """From start to stop, in pieces of at most this size.

    >>> from thalweg.ntk.gram.slices import slices
    >>> slices(5, 3)
    [slice(0, 3, None), slice(3, 5, None)]
    """
    return [slice(one, min(one + size, stop)) for one in range(start, stop, size)]
