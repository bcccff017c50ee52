"""How much predictions say about labels, and how much of that another model says too: from counts."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.arguments import in_words
from thalweg.errors import UsageError, check_count, check_type

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


@in_words
def mutual_information(first: ArrayLike, second: ArrayLike, given: ArrayLike | None = None) -> float:
    """I(A; B), or I(A; B | C), of classes from their counts, in bits.

        I(A; B)     = sum over a, b of p(a, b) log2(p(a, b) / (p(a) p(b)))
        I(A; B | C) = sum over c of p(c) I(A; B) among the examples with C = c

    Shares of the examples stand for probabilities, which is biased upward, by about (a - 1)(b - 1) / (2 n ln 2) of
    independent classes (a and b of them): compare like with like.

    >>> from thalweg.generalization import simplicity
    >>> labels = [0, 1, 0, 1]
    >>> simplicity.mutual_information(labels, labels), simplicity.mutual_information(labels, [0, 0, 1, 1])
    (1.0, 0.0)
    >>> simplicity.mutual_information(labels, labels, given=labels)
    0.0

    Args:
        first, second: whole numbers from 0: (examples,) each.
        given: the condition, likewise; None: none.

    Raises:
        UsageError: not as many of each, or no classes.

    Cost: a pass over the examples; a table of all combinations of classes.

    Source: Kalimeris et al. (2019), arXiv:1905.11604.
    """
    a, b = as_classes("mutual_information first", first), as_classes("mutual_information second", second)
    c = np.zeros_like(a) if given is None else as_classes("mutual_information given", given)
    if not len(a) == len(b) == len(c):
        msg = f"mutual_information needs as many examples of each; got {len(a)}, {len(b)} and {len(c)}."
        raise UsageError(msg)
    counts = np.zeros((c.max() + 1, a.max() + 1, b.max() + 1))
    np.add.at(counts, (c, a, b), 1)
    n, rows, columns = counts.sum((1, 2), keepdims=True), counts.sum(2, keepdims=True), counts.sum(1, keepdims=True)
    some = counts > 0
    ratio = np.divide(counts * n, rows * columns, out=np.ones_like(counts), where=some)
    return max(0.0, float((counts * np.log2(ratio)).sum() / len(a)))


def explained_share(predictions: ArrayLike, others: ArrayLike, labels: ArrayLike) -> float:
    """The share of what predictions say about labels that another model's predictions say too.

        share = (I(F; Y) - I(F; Y | L)) / I(F; Y),    NaN where I(F; Y) is 0

    >>> from thalweg.generalization import simplicity
    >>> labels = [0, 1, 2, 3]
    >>> simplicity.explained_share(labels, [0, 0, 1, 1], labels)  # L knows one of two bits
    0.5

    Args:
        predictions: F, classes: (examples,).
        others: L, such as those of the best linear model: (examples,).
        labels: Y: (examples,).

    Raises:
        UsageError: not as many of each, or no classes.

    Source: Kalimeris et al. (2019), arXiv:1905.11604.
    """
    whole = mutual_information(predictions, labels)
    return (whole - mutual_information(predictions, labels, given=others)) / whole if whole > 0 else np.nan


def corrupted(predictions: ArrayLike, labels: ArrayLike, accuracy: float, *, classes: int, seed: int = 0) -> Labels:
    """Predictions of which so many are replaced by uniform classes, in a random order, that an accuracy is left.

    It is the fair null of `explained_share`: as accurate as the network was, and with no order in what it knows.

    >>> import numpy as np
    >>> from thalweg.generalization import simplicity
    >>> labels = np.arange(1_000) % 10
    >>> found = simplicity.corrupted(labels, labels, 0.4, classes=10)
    >>> float((found == labels).mean())
    0.4

    Args:
        predictions, labels: classes: (examples,) each.
        accuracy: at most that of the predictions; where it is not met exactly, the largest that is not above it.
        classes: how many there are.
        seed: of the order and the classes.

    Raises:
        UsageError: predictions that are less accurate, or an accuracy that no replacement leaves.
    """
    found, right = as_classes("corrupted predictions", predictions), as_classes("corrupted labels", labels)
    check_count("corrupted classes", classes)
    check_type("corrupted accuracy", accuracy, (int, float), "a share between 0 and 1")
    if len(found) != len(right):
        msg = f"corrupted needs as many predictions as labels; got {len(found)} and {len(right)}."
        raise UsageError(msg)
    draw = np.random.default_rng([seed, 0xC0])
    order, uniform = draw.permutation(len(found)), draw.integers(0, classes, len(found))
    lost = (uniform == right)[order].astype(int) - (found == right)[order].astype(int)
    shares = ((found == right).sum() + np.concatenate([[0], lost.cumsum()])) / len(found)
    if shares[0] < accuracy or not (shares <= accuracy).any():
        msg = f"corrupted predictions are right in a share from {shares.min():.3g} to {shares[0]:.3g} of the examples; "
        raise UsageError(msg + f"the accuracy {accuracy:.3g} must be between these.")
    replaced = order[: int((shares <= accuracy).argmax())]
    made = found.copy()
    made[replaced] = uniform[replaced]
    return made


def as_classes(what: str, values: ArrayLike) -> Labels:
    """Classes as whole numbers: (examples,).

    Raises:
        UsageError: they are not; `what` names them.
    """
    table = np.asarray(values)
    if table.ndim != 1 or not len(table) or table.dtype.kind not in "iub" or table.min() < 0:
        msg = f"{what} must be classes, whole numbers from 0, (examples,); got {table.dtype} {table.shape}."
        raise UsageError(msg)
    return table.astype(np.int64)
