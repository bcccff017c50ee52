"""The diagonal of every member's matrix, with a standard error of each entry."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import UsageError, check_count
from thalweg.figures import Axis, Figure, Histogram
from thalweg.guard import guarded
from thalweg.progress import Watcher, automatic
from thalweg.randomness import generator
from thalweg.results import Result
from thalweg.spectra.operator import Operator
from thalweg.spectra.result import Measurement


@dataclass(frozen=True, eq=False)
class Diagonal(Result):
    """What `diagonal` found.

    Args:
        values: of A_ii, on the operator's device: (members, n); 0 where it does not act.
        standard_errors: of each: (members, n).
        reading: "diagonal" (member and the operator's dimension) with its standard errors.
    """

    values: Float[Tensor, "members n"] = field(repr=False)
    standard_errors: Float[Tensor, "members n"] = field(repr=False)

    def figure(self) -> Figure:
        """How the entries of all members are distributed."""
        values = self["diagonal"]
        found = values[np.isfinite(values)]
        if not len(found):
            msg = "No entry of the diagonal is finite, so there is nothing to draw."
            raise UsageError(msg)
        return Figure.of(
            self.reading.name,
            (Histogram(found),),
            Axis("entry of the diagonal"),
            Axis("how many"),
            caption=f"{len(found):,} entries of {len(values)} members.",
        )


@guarded
def diagonal(A: Operator, *, products: int = 32, seed: int = 0, progress: Watcher | None = automatic) -> Diagonal:
    """The diagonal of every member's matrix, unbiased, with a standard error of each entry.

    The mean of v * A v over random vectors v of +1 and -1 (Bekas et al., 2007, doi:10.1016/j.apnum.2007.01.003); the
    variance of an entry is the sum of the squares of the others in its row, by the number of products.

    >>> import torch
    >>> import thalweg as tw
    >>> A = tw.spectra.from_matrix(torch.diag(torch.tensor([1.0, -2.0, 0.5])))
    >>> tw.spectra.diagonal(A, products=2).values.tolist()
    [[1.0, -2.0, 0.5]]

    Args:
        A: such as `curvature.hessian(problem, population)`.
        products: how many, at least 2.
        seed: of the vectors, which all members share.
        progress: told how far it is.

    Raises:
        UsageError: too few products.

    Cost: `products` products. Memory: two matrices (members, n), and the reading's copies.
    """
    measurement = Measurement("diagonal", A, "diagonal", seed, progress)
    check_count("diagonal products", products, 2)
    mean = torch.zeros(A.shape, dtype=A.dtype, device=A.device)
    spread = torch.zeros_like(mean)
    with measurement.watched():
        for count in range(1, products + 1):
            v = A.rademacher(generator(seed, "signs", count - 1))
            sample = v * A(v)
            change = sample - mean
            mean += change / count
            spread += change * (sample - mean)
            measurement.tell(count, products)
    error = (spread / (products * (products - 1))).sqrt_()
    reading = measurement.reading(
        {"diagonal": mean.cpu().numpy()},
        {"diagonal": ("member", A.dimension)},
        standard_errors={"diagonal": error.cpu().numpy()},
        samples=products,
        notes=(f"By {products} products with vectors of +1 and -1.",),
    )
    return Diagonal(reading, mean, error)
