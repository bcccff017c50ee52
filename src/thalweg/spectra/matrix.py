"""Between dense matrices and operators."""

import torch
from jaxtyping import Float
from torch import Tensor

from thalweg.errors import UsageError, check_type
from thalweg.guard import guarded
from thalweg.progress import Watcher, automatic
from thalweg.spectra.operator import Operator
from thalweg.spectra.result import Measurement


@guarded
def from_matrix(matrix: Float[Tensor, "*members n n"], *, name: str = "matrix", dimension: str = "entries") -> Operator:
    """The operator of dense symmetric matrices, one a member.

    >>> import torch
    >>> import thalweg as tw
    >>> tw.spectra.from_matrix(torch.eye(3))
    Operator(matrix, members=1, entries=3)

    Args:
        matrix: (members, n, n), or (n, n) for a single member; a member may hold NaN.
        name, dimension: see `Operator`.

    Raises:
        UsageError: no square matrices of floating-point numbers, or one that is not symmetric.

    Cost of a product: n^2 multiplications a member.
    """
    check_type("from_matrix matrix", matrix, Tensor, "a tensor (members, n, n)")
    if matrix.ndim not in (2, 3) or matrix.shape[-1] != matrix.shape[-2] or not matrix.is_floating_point():
        msg = f"from_matrix needs floating-point matrices (members, n, n); got {matrix.dtype} {tuple(matrix.shape)}."
        raise UsageError(msg)
    matrices = matrix if matrix.ndim == 3 else matrix.unsqueeze(0)
    size = matrices.nan_to_num().abs().amax((1, 2))
    apart = (matrices - matrices.mT).abs().nan_to_num().amax((1, 2))
    wrong = (apart > torch.finfo(matrix.dtype).eps ** 0.5 * size).nonzero().flatten().tolist()
    if wrong:
        msg = (
            f"Member {wrong[0]}'s matrix is not symmetric: it is up to {apart[wrong[0]]:.2g} off its transpose; write "
            "(matrix + matrix.mT) / 2 for the symmetric part."
        )
        raise UsageError(msg)
    return Operator(
        lambda vectors: (matrices @ vectors.unsqueeze(2)).squeeze(2),
        shape=(matrices.shape[0], matrices.shape[1]),
        dtype=matrix.dtype,
        device=matrix.device,
        name=name,
        dimension=dimension,
        select=lambda places: from_matrix(matrices[places], name=name, dimension=dimension),
        check=False,
    )


@guarded
def as_matrix(A: Operator, *, progress: Watcher | None = automatic) -> Float[Tensor, "members n n"]:
    """The matrix of every member, column by column: A e_j for each entry j that is active in some member; symmetrized.

    >>> import thalweg as tw
    >>> tw.spectra.as_matrix(tw.spectra.Operator(lambda v: 2 * v, shape=(1, 2))).tolist()
    [[[2.0, 0.0], [0.0, 2.0]]]

    Args:
        A: such as `curvature.hessian(problem, population)`.
        progress: told how far it is.

    Cost: a product for each of these entries. Memory: n^2 numbers a member, twice over.
    """
    inside = within(A, progress=progress)
    active = A.active.any(0).nonzero().flatten()
    if len(active) == A.shape[1]:
        return inside
    matrix = torch.zeros(len(A), A.shape[1], A.shape[1], dtype=A.dtype, device=A.device)
    matrix[:, active[:, None], active] = inside
    return matrix


def within(A: Operator, *, progress: Watcher | None = automatic) -> Float[Tensor, "members active active"]:
    """The same without the rows and columns of entries that are active in no member."""
    measurement = Measurement("as_matrix", A, "columns", 0, progress)
    active = A.active.any(0).nonzero().flatten()
    matrix = torch.empty(len(A), len(active), len(active), dtype=A.dtype, device=A.device)
    with measurement.watched():
        for place, column in enumerate(active.tolist()):
            unit = torch.zeros(A.shape, dtype=A.dtype, device=A.device)
            unit[:, column] = 1
            matrix[:, place] = A(unit)[:, active]
            measurement.tell(place + 1, len(active))
    return (matrix + matrix.mT) / 2
