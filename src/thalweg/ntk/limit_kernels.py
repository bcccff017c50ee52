"""What `infinite(...).kernels` returns."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from thalweg.figures import Figure
from thalweg.ntk.kernel_figures import heat_map, spectra_of
from thalweg.results import Result


@dataclass(frozen=True, eq=False)
class Kernels(Result):
    """Both kernels of pairs of inputs in the limit of infinite width, and what is to be said of them.

    >>> import torch
    >>> import thalweg as tw
    >>> limit = tw.ntk.infinite(tw.nets.mlp(4, 256, 1), weight_std=2**0.5, bias_std=0.0)
    >>> found = limit.kernels(torch.eye(4) * 2)
    >>> found["ntk"].shape, found.parameterization
    ((4, 4), 'ntk')
    >>> [panel.title for panel in found.figure().panels]
    ['NNGP kernel', 'tangent kernel', 'their eigenvalues']

    Args:
        reading: "nngp", K, the covariance of one output over initializations, and "ntk", Theta, the tangent kernel of
            one output (that of C outputs is Theta times the identity): (example, other example) each, float64. The
            provenance holds the dtype of the computation, the notes what is to be said of the inputs and the module.
        nngp, ntk: the same as tensors, on the device of the inputs, for what computes on.
        activation_error: a bound on the absolute error of what the series of any one activation gives of exact second
            moments, for E phi(u) phi(v) and for E phi'(u) phi'(v); 0.0 where all are in closed form. It is no bound on
            K and Theta, as layers behind the activation shrink or grow it. Rounding, of about 1e-6 relative in float32,
            is apart.
        parameterization: as asked for.
        symmetric: whether rows and columns are the same inputs.
    """

    nngp: Tensor
    ntk: Tensor
    activation_error: float
    parameterization: str
    symmetric: bool

    def figure(self) -> Figure:
        """Heat maps of both kernels, and their eigenvalues where rows and columns are the same inputs."""
        kernels, note = {"NNGP kernel": self["nngp"], "tangent kernel": self["ntk"]}, " ".join(self.reading.notes)
        panels = [heat_map(title, kernel, note) for title, kernel in kernels.items()]
        if self.symmetric and all(np.isfinite(kernel).all() for kernel in kernels.values()):
            panels.append(spectra_of(kernels))
        return Figure.row(panels, caption=note)
