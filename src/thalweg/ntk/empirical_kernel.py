"""What `empirical` returns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thalweg.errors import UsageError
from thalweg.figures import Figure
from thalweg.ntk.kernel_figures import eigenvalues_of, heat_map, spectra_of
from thalweg.results import Result


@dataclass(frozen=True, eq=False)
class EmpiricalKernel(Result):
    """The tangent kernel of every member; what `empirical` returns.

    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 16, 10), tw.data.digits())
    >>> found = tw.ntk.empirical(problem, problem.initialize(1), on=tw.Sample("train", 20))
    >>> found["kernel"].shape, found.matrix().shape
    ((1, 20, 20, 10, 10), (200, 200))
    >>> [panel.title for panel in found.figure().panels]
    ['tangent kernel of member 0, mean over outputs', 'its eigenvalues']

    Args:
        reading: "kernel", and "layers" where asked for.
        outputs: as it was asked for.
        method: by which it was computed.
        symmetric: whether rows and columns are the same examples.
    """

    outputs: str
    method: str
    symmetric: bool

    def matrix(self, member: int = 0) -> NDArray[np.floating]:
        """The kernel of a member as a matrix: of all examples and outputs, outputs fastest, where all pairs are there.

        Raises:
            UsageError: no such member, or outputs="diagonal".
        """
        kernel = self._of(member)
        if self.outputs != "full":
            return kernel
        examples, others, outputs, other_outputs = kernel.shape
        return kernel.transpose(0, 2, 1, 3).reshape(examples * outputs, others * other_outputs)

    def mean_over_outputs(self, member: int = 0) -> NDArray[np.floating]:
        """(examples, others): of all pairs of outputs the mean over equal ones; what is there without pairs.

        Raises:
            UsageError: no such member, or outputs="diagonal".
        """
        kernel = self._of(member)
        return kernel.diagonal(axis1=2, axis2=3).mean(-1) if self.outputs == "full" else kernel

    def eigenvalues(self, member: int = 0) -> NDArray[np.floating]:
        """Of `mean_over_outputs`, the largest first: (examples,); in float64.

        Raises:
            UsageError: no such member, outputs="diagonal", or rows and columns of different examples.
        """
        if not self.symmetric:
            msg = "A kernel of different rows and columns has no eigenvalues; leave out against=."
            raise UsageError(msg)
        return eigenvalues_of(self.mean_over_outputs(member))

    def figure(self, member: int = 0) -> Figure:
        """A heat map of a member's kernel, as the mean over outputs, and its eigenvalues where it is symmetric.

        Raises:
            UsageError: no such member, or outputs="diagonal".
        """
        kernel, note = self.mean_over_outputs(member), " ".join(self.reading.notes)
        mean = ", mean over outputs" if self.outputs in ("full", "trace") else ""
        shown = heat_map(f"tangent kernel of member {member}{mean}", kernel, note)
        if not self.symmetric or not np.isfinite(kernel).all():
            return shown
        return Figure.row((shown, spectra_of({"": kernel})), caption=note)

    def _of(self, member: int) -> NDArray[np.floating]:
        if self.outputs == "diagonal":
            msg = 'outputs="diagonal" has no pairs of examples; ask for outputs="trace" or "full".'
            raise UsageError(msg)
        kernel = self["kernel"]
        if not 0 <= member < len(kernel):
            msg = f"There is no member {member}; the kernel has {len(kernel)} (0 to {len(kernel) - 1})."
            raise UsageError(msg)
        return kernel[member]
