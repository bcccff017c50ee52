"""Bounds by how well a class could fit coin flips, with a margin: Rademacher complexity, and what is known above it."""

import numpy as np
from numpy.typing import ArrayLike

from thalweg.generalization.bounds.arguments import Array, amounts, counts, failure, inverse, losses, product, sample


def rademacher(
    error: ArrayLike,
    m: ArrayLike,
    complexity: ArrayLike,
    delta: ArrayLike,
    *,
    margin: ArrayLike = 1.0,
    outputs: ArrayLike = 1,
) -> Array:
    """The risk of any member of a class whose empirical Rademacher complexity is known, by answers with a margin.

        risk <= error + c R / margin + 3 sqrt(ln(2/delta) / (2 m))       with probability at least 1 - delta

    c = 2 of one output whose sign is the answer, and 4 K of K outputs of which the largest is; R is then that of each
    of them.

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.rademacher(0.05, 10_000, 0.02, 0.05).round(4))
    0.1307

    Args:
        error: the share of answers whose margin is below `margin`, wrong ones among them: in [0, 1].
        m: independent examples.
        complexity: R = E sup_f (1/m) sum_i s_i f(x_i) over signs s.
        delta: the probability with which it may fail.
        margin: fixed before the data; of one chosen by them `rounded_down` says the price. With 1 and outputs in [0, 1]
            that are losses themselves, it is the plain bound.
        outputs: 1, or how many classes.

    Raises:
        UsageError: losses outside [0, 1], delta outside (0, 1), no example, no outputs, or a margin that is not above
            0.

    References:
        Bartlett & Mendelson (2002), JMLR 3, 463-482; Mohri, Rostamizadeh & Talwalkar (2018), theorems 5.8 and 9.2.
    """
    mean, count = losses("rademacher error", error), sample("rademacher", m)
    size, at = amounts("rademacher complexity", complexity), amounts("rademacher margin", margin, above=True)
    classes = counts("rademacher outputs", outputs)
    factor = np.where(classes > 1, 4 * classes, 2)
    nats = np.log(2) - np.log(failure("rademacher", delta))
    return mean + product(factor, size, inverse(at)) + 3 * np.sqrt(nats / (2 * count))


def linear_complexity(norm: ArrayLike, lengths: ArrayLike) -> Array:
    """The empirical Rademacher complexity of x -> w . x with |w| <= norm, at most: norm sqrt(sum_i |x_i|^2) / m.

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.linear_complexity(2.0, [3.0, 4.0]))
    5.0

    Args:
        norm: of the weights, fixed before the data.
        lengths: of the inputs: (m,).

    Raises:
        UsageError: no lengths, or one below 0.

    References:
        Kakade, Sridharan & Tewari (2008), NeurIPS 21; Mohri, Rostamizadeh & Talwalkar (2018), theorem 5.10.
    """
    of_inputs = amounts("linear_complexity lengths", lengths)
    counts("The number of lengths of linear_complexity", of_inputs.size)
    with np.errstate(over="ignore"):
        whole = np.sqrt((of_inputs**2).sum())
    return product(amounts("linear_complexity norm", norm), whole) / of_inputs.size


def golowich_complexity(product_of_norms: ArrayLike, longest: ArrayLike, depth: ArrayLike, m: ArrayLike) -> Array:
    """The empirical Rademacher complexity of an output of a network, at most: by the product of Frobenius norms.

        R <= B (sqrt(2 L ln 2) + 1) prod_l |W_l|_F / sqrt(m)

    of L layers without biases between which stand activations that are 1-Lipschitz and positively homogeneous, such as
    ReLU; a bias is the weight of an input that is always 1.

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.golowich_complexity(10.0, 1.0, 2, 10_000).round(4))
    0.2665

    Args:
        product_of_norms: prod_l |W_l|_F, fixed before the data.
        longest: B, the length of the longest input.
        depth: L.
        m: examples.

    Raises:
        UsageError: a size below 0, or no example.

    References:
        Golowich, Rakhlin & Shamir (2018), arXiv:1712.06541, theorem 1.
    """
    layers = counts("golowich_complexity depth", depth)
    of_class = _of("golowich_complexity", product_of_norms, longest)
    return of_class * (np.sqrt(2 * layers * np.log(2)) + 1) / np.sqrt(sample("golowich_complexity", m))


def golowich_generous(
    error: ArrayLike, m: ArrayLike, product_of_norms: ArrayLike, longest: ArrayLike, *, margin: ArrayLike
) -> Array:
    """What is left of Golowich's bound without its constants: error + B prod_l |W_l|_F / (margin sqrt(m)).

    It is no bound, and smaller than any that this product gives: where it is vacuous, so are they.

    >>> import thalweg as tw
    >>> float(tw.generalization.bounds.golowich_generous(0.0, 10_000, 10.0, 1.0, margin=0.5))
    0.2

    Args:
        error, m, margin: see `rademacher`.
        product_of_norms, longest: see `golowich_complexity`.
    """
    mean, count = losses("golowich_generous", error), sample("golowich_generous", m)
    at = amounts("golowich_generous margin", margin, above=True)
    return mean + product(_of("golowich_generous", product_of_norms, longest), inverse(at)) / np.sqrt(count)


def _of(name: str, product_of_norms: ArrayLike, longest: ArrayLike) -> Array:
    return product(amounts(f"{name} product_of_norms", product_of_norms), amounts(f"{name} longest", longest))
