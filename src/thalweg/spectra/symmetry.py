"""Whether products are those of a symmetric matrix."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import UsageError

Vectors = Float[Tensor, "members n"]
Product = Callable[[Vectors], Vectors]


def check_symmetric(product: Product, u: Vectors, v: Vectors) -> None:
    """Raise UsageError unless A (u - 2 v) = A u - 2 A v and <u, A v> = <v, A u>, to the root of the precision.

    The first fails too where the product is not the same at every call. Members that are not finite are passed over.

    Cost: three products.
    """
    tolerance = torch.finfo(u.dtype).eps ** 0.5
    of_u, of_v, of_both = (product(vectors).double() for vectors in (u, v, u - 2 * v))
    u, v = u.double(), v.double()
    bent = _lengths(of_both - (of_u - 2 * of_v)) - tolerance * (_lengths(of_u) + _lengths(of_v))
    left, right = (u * of_v).sum(1), (v * of_u).sum(1)
    apart = (left - right).abs() - tolerance * (_lengths(u) * _lengths(of_v) + _lengths(v) * _lengths(of_u))
    for member in range(len(u)):  # NaN is not above 0
        if bent[member] > 0:
            msg = (
                "The product of an operator must be linear and the same at every call, but that of member "
                f"{member} with u - 2 v is not A u - 2 A v; take random numbers and nonlinear parts out of it."
            )
            raise UsageError(msg)
        if apart[member] > 0:
            msg = (
                f"The product of an operator must be symmetric, but of member {member} <u, A v> is {left[member]:.4g} "
                f"and <v, A u> {right[member]:.4g}; write (A v + A^T v) / 2 for the symmetric part."
            )
            raise UsageError(msg)


def _lengths(vectors: Vectors) -> Float[Tensor, " members"]:
    return torch.linalg.vector_norm(vectors, dim=1)
