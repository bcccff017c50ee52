"""The kernels of a module in the limit of infinite width, read off an ordinary `nn.Module`."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from thalweg.errors import DataError, UsageError, check_choice, check_count, check_type
from thalweg.guard import guarded
from thalweg.nets.centered import Centered
from thalweg.ntk.inputs import remarks_on_tensors
from thalweg.ntk.limit_kernels import Kernels
from thalweg.ntk.reading import PROBE, Program, read
from thalweg.ntk.running import kernels, side
from thalweg.ntk.variances import Deviations, Moments, Parameterization, sampled_from
from thalweg.ntk.warned import forget, of_activations, of_attention, of_program
from thalweg.population.threads import one_thread
from thalweg.progress import Progress, Watcher, automatic, watched
from thalweg.randomness import global_stream
from thalweg.results import Cost, Provenance, Reading, Table

CONSTRUCTIONS = 16  # of a factory, from which variances are declared


@guarded
def infinite(
    module: nn.Module | Callable[[], nn.Module],
    *,
    weight_std: Deviations = None,
    bias_std: Deviations = None,
    parameterization: Parameterization = "ntk",
    dtype: torch.dtype = torch.float32,
    memory_budget: int = 2**30,
    progress: Watcher | None = automatic,
) -> "Infinite":
    """The kernels of a module in the limit of infinite width: K of the Gaussian process that it starts as, and Theta.

        K' = sigma_w^2 E phi(u) phi(v) + sigma_b^2,    Theta' = K' + sigma_w^2 Theta E phi'(u) phi'(v)     ("ntk")

    layer by layer, (u, v) ~ N(0, K). The readings "standard" and "as_initialized" have n E phi(u) phi(v) + 1 in the
    place of K' in Theta', n the layer's fan-in: the tangent kernel of the module in torch's own parameterization.

    >>> import torch
    >>> import thalweg as tw
    >>> limit = tw.ntk.infinite(tw.nets.mlp(4, 256, 1), weight_std=2**0.5, bias_std=0.0)
    >>> x = torch.eye(4)[:2] * 2
    >>> limit.nngp(x).round(decimals=4).tolist()
    [[2.0, 0.6366], [0.6366, 2.0]]

    Args:
        module: only read, in the mode in which it is; or a function without arguments that makes one. Of
            `nets.centered(network)`, which is 0 at the start whatever is drawn, K is 0 and Theta that of the network,
            whose names are those of the tensors.
        weight_std, bias_std: sigma_w and sigma_b: one number for all layers, or by name of module or tensor. Others are
            read: of a function, from 16 constructions; of a module, from what its classes declare, each tensor tested.
        parameterization: "ntk"; "standard", with every fan-in; "as_initialized", the kernel of the module itself.
            Parameters that do not require a gradient contribute to K and not to Theta.
        dtype: of the computation; the kernels are put together in float64. Distances E (u - v)^2 / 2 are carried, which
            keep their digits between nearly equal inputs, so float32 errs by about 1e-6.
        memory_budget: bytes for what is computed besides the kernels, kept to within 10 %: tiles, and how many threads
            compute one each, follow from it. Less is used where tiles that stay in the cache, which are the fastest,
            need less. The quadrature of activations without a closed form takes up to 40 MB more, and attention up to
            256 MB.
        progress: told how many tiles are done.

    Returns:
        The limit; the module is traced at the first call, with the inputs that are given then.

    Raises:
        UsageError: arguments that make no sense.

    Paper: Jacot, Gabriel and Hongler (2018), arXiv:1806.07572; Lee et al. (2018), arXiv:1711.00165; Yang (2019),
    arXiv:1910.12478.
    """
    check_choice("parameterization", parameterization, ("ntk", "standard", "as_initialized"))
    check_count("memory_budget", memory_budget)
    if dtype not in (torch.float32, torch.float64):
        msg = f"dtype is torch.float32 or torch.float64; got {dtype}."
        raise UsageError(msg)
    sampled, begins_at_zero = {}, False
    if not isinstance(module, nn.Module):
        if not callable(module):
            check_type("module", module, nn.Module, "an nn.Module, or a function that makes one")
        factory = module
        made = []
        for number in range(CONSTRUCTIONS):
            with global_stream(0, "ntk infinite", number):
                made.append(factory())
        check_type("what the function makes", made[0], nn.Module, "a function that makes an nn.Module")
        begins_at_zero = isinstance(made[0], Centered)
        made = [one.network if isinstance(one, Centered) else one for one in made]
        module, sampled = made[0], sampled_from(made)
    module = cast("nn.Module", module)
    if isinstance(module, Centered):
        module, begins_at_zero = module.network, True
    moments = Moments(module, weight_std, bias_std, sampled)
    return Infinite(module, moments, parameterization, dtype, memory_budget, progress, begins_at_zero)


@dataclass(frozen=True, eq=False, repr=False)
class Infinite:
    """The limit of one module; `infinite` makes it.

    >>> import torch
    >>> import thalweg as tw
    >>> limit = tw.ntk.infinite(lambda: tw.nets.mlp(4, 256, 1))
    >>> limit.ntk(torch.ones(3, 4), torch.zeros(2, 4)).shape
    torch.Size([3, 2])

    Args:
        module: that is read; of a centered one its network.
        moments: its variances.
        parameterization, dtype, memory_budget, progress: as given.
        begins_at_zero: whether it is centered, so that all outputs are 0 over initializations, and K with them.
    """

    module: nn.Module
    moments: Moments
    parameterization: Parameterization
    dtype: torch.dtype
    memory_budget: int
    progress: Watcher | None
    begins_at_zero: bool = False
    _programs: dict[tuple[object, ...], Program] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Infinite({type(self.module).__name__}, parameterization={self.parameterization!r})"

    def nngp(self, x1: Tensor, x2: Tensor | None = None) -> Tensor:
        """K, the covariance of one output over initializations, (inputs, others), float64.

        What is to be known of it, as of unscaled inputs and sampling errors, is in the notes of `kernels(...).reading`.
        """
        return self.kernels(x1, x2).nngp

    def ntk(self, x1: Tensor, x2: Tensor | None = None) -> Tensor:
        """Theta, the tangent kernel of one output, (inputs, others), float64.

        What is to be known of it, as of unscaled inputs and sampling errors, is in the notes of `kernels(...).reading`.
        """
        return self.kernels(x1, x2).ntk

    def kernels(self, x1: Tensor, x2: Tensor | None = None) -> Kernels:
        """Both kernels of every input with every other.

        >>> import torch
        >>> import thalweg as tw
        >>> limit = tw.ntk.infinite(tw.nets.mlp(4, 256, 1), weight_std=2**0.5, bias_std=0.0)
        >>> found = limit.kernels(torch.eye(4) * 2)
        >>> found["nngp"].shape, found.reading.notes
        ((4, 4), ('Parameterization "ntk".',))

        Args:
            x1: inputs, the first dimension that of examples.
            x2: the others; None is the same inputs, of which half of all pairs are computed.

        Raises:
            DataError: inputs that are not finite, or that the module cannot be called with.
            ModelError: a node that cannot be followed; it is named with its line, the remedy and the Monte-Carlo way
                out.

        Cost: layers times pairs, about 10 ns each; with positions that are mixed, times positions squared.
        """
        with one_thread():
            for name, one in (("x1", x1), ("x2", x2)):
                if one is not None:
                    _check(name, one)
        if x2 is not None and x2.shape[1:] != x1.shape[1:]:
            msg = f"x1 and x2 hold examples of different shapes: {tuple(x1.shape[1:])} and {tuple(x2.shape[1:])}."
            raise DataError(msg)
        begun = time.perf_counter()
        with torch.no_grad():
            program = self.program(x1)
            forget(program)
            left = side(program, x1, self.dtype, self.memory_budget)
            right = left if x2 is None else side(program, x2, self.dtype, self.memory_budget)
            with watched(self.progress) as told:
                nngp, ntk = kernels(
                    program,
                    left,
                    right,
                    same=x2 is None,
                    dtype=self.dtype,
                    budget=self.memory_budget,
                    tell=lambda done, total: told(Progress("kernel", done, total, time.perf_counter() - begun)),
                )
        with one_thread():
            notes = [*program.warnings, *of_activations(program), *of_attention(program)]
            notes += remarks_on_tensors(x1, len(x1), copies=x2 is None)
            if x2 is not None:
                notes += remarks_on_tensors(x2, len(x2), copies=False)
        if self.begins_at_zero:
            nngp = torch.zeros_like(nngp)
            notes.append("The network is centered: its outputs are 0 at the start, and so is K.")
        reading = Reading(
            "kernels of infinite width",
            {"nngp": nngp.numpy(force=True), "ntk": ntk.numpy(force=True)},
            dict.fromkeys(("nngp", "ntk"), ("example", "other example")),
            sample_size=len(x1),
            cost=Cost(time.perf_counter() - begun),
            provenance=Provenance.here(device=str(nngp.device), dtype=str(self.dtype)),
            notes=(f'Parameterization "{self.parameterization}".', *dict.fromkeys(notes)),
        )
        return Kernels(reading, nngp, ntk, of_program(program), self.parameterization, x2 is None)

    def program(self, inputs: Tensor) -> Program:
        """What is done to second moments; made once for every shape of examples."""
        key = (inputs.shape[1:], inputs.dtype)
        if key not in self._programs:
            example = inputs[:PROBE]
            example = torch.cat([example, example])[:PROBE]
            self._programs[key] = read(self.module, example, self.moments, self.parameterization)
        return self._programs[key]

    @property
    def variances(self) -> Table:
        """One row a tensor that was read so far: its fan-in, sigma_w^2 or sigma_b^2, where it comes from, and z.

        >>> import torch
        >>> import thalweg as tw
        >>> limit = tw.ntk.infinite(tw.nets.mlp(4, 256, 1), weight_std=1.5, bias_std=0.1)
        >>> _ = limit.nngp(torch.eye(4))
        >>> limit.variances.columns["tensor"].tolist()
        ['hidden1.weight', 'hidden1.bias', 'output.weight', 'output.bias']
        """
        rows = list(self.moments.found.values())
        return Table(
            {
                "tensor": [row.tensor for row in rows],
                "fan_in": [row.fan_in for row in rows],
                "sigma2": [row.sigma2 for row in rows],
                "source": [row.source for row in rows],
                "z": [row.z for row in rows],
            }
        )


def _check(name: str, inputs: Tensor) -> None:
    expected = "a tensor, the first dimension that of examples (of a module of several inputs, take ntk.empirical)"
    check_type(name, inputs, Tensor, expected)
    if inputs.dim() < 1 or len(inputs) == 0:
        msg = f"{name} holds no examples; its shape is {tuple(inputs.shape)}."
        raise DataError(msg)
    if not bool(inputs.isfinite().all()):
        msg = f"{name} holds numbers that are not finite."
        raise DataError(msg)
