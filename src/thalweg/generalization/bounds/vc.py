"""Bounds by how many ways a class can label a sample: Vapnik and Chervonenkis."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from thalweg.arguments import in_words
from thalweg.errors import UsageError
from thalweg.generalization.bounds.arguments import Array, amounts, counts, failure, losses, sample


def vc(error: ArrayLike, m: ArrayLike, dimension: ArrayLike, delta: ArrayLike) -> Array:
    """The risk of any member of a class of a VC dimension.

        risk <= error + sqrt((8/m) (ln S(2m) + ln(4/delta)))      with probability at least 1 - delta

    S(2m) is in how many ways the class labels 2m examples: by Sauer's lemma at most (2em/d)^d, which means something
    only while d < 2m, and never more than 2^(2m): the logarithm is the smaller of d ln(2em/d) and 2m ln 2.

    >>> import thalweg as tw
    >>> tw.generalization.bounds.vc(0.0, [1_437, 100_000, 1_000_000], 65, 0.05).round(2).tolist()
    [1.33, 0.22, 0.08]

    Args:
        error: the share of wrong answers, in [0, 1].
        m: independent examples.
        dimension: d, at least 1; d + 1 of a linear classifier with bias in d dimensions, see `relu_dimension`.
        delta: the probability with which it may fail.

    Raises:
        UsageError: losses outside [0, 1], delta outside (0, 1), no example, a dimension below 1.

    References:
        Vapnik & Chervonenkis (1971), doi:10.1137/1116025; in this form Abu-Mostafa, Magdon-Ismail & Lin (2012),
        "Learning from Data", theorem 2.5, with 4 S(2m) exp(-m eps^2 / 8). Other books have other constants.
    """
    mean, count = losses("vc", error), sample("vc", m)
    d = amounts("vc dimension", dimension)
    if not (d >= 1).all():
        msg = f"vc dimension must be at least 1; got {dimension}. A class of one labelling is bounded by finite_class."
        raise UsageError(msg)
    few = np.minimum(d, 2 * count)
    ways = np.minimum(few * np.log(2 * np.e * count / few), 2 * count * np.log(2))
    return mean + np.sqrt(8 / count * (ways + np.log(4) - np.log(failure("vc", delta))))


@in_words
def relu_dimension(weights: Sequence[int], units: Sequence[int]) -> float:
    """An upper bound of the VC dimension of a network with piecewise linear activations of one kink, such as ReLU.

        d <= L + (sum_i W_i) log2(4 e R log2(2 e R)),    R = sum_i i k_i,    W_i the weights up to layer i

    which is O(W L log W), and not far from the truth: there are such networks of dimension W L log(W/L) up to a
    constant. Weights that are shared, as in a convolution, count once.

    >>> import thalweg as tw
    >>> round(tw.generalization.bounds.relu_dimension([2_080, 330], [32, 45]))  # 64-32-10, 45 pairs of classes
    61075

    Args:
        weights: of every layer, biases included.
        units: computed in every layer; in the last one signs that decide the answer: 1 of two classes, K (K - 1)/2
            comparisons of K.

    Raises:
        UsageError: not as many of both, or a layer without any.

    References:
        Bartlett, Harvey, Liaw & Mehrabian (2019), JMLR 20 (63), arXiv:1703.02930, theorem 7.
    """
    own, made = list(weights), list(units)
    if not own or len(own) != len(made):
        msg = f"relu_dimension takes weights and units of every layer; got {own} and {made}."
        raise UsageError(msg)
    counts("relu_dimension weights", own)
    counts("relu_dimension units", made)
    so_far = np.cumsum(own, dtype=np.float64).sum()
    pieces = sum(layer * count for layer, count in enumerate(made, start=1))
    return float(len(own) + so_far * np.log2(4 * np.e * pieces * np.log2(2 * np.e * pieces)))
