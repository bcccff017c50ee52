"""The map between the columns of theta and a model's named tensors."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from torch.nn.utils.parametrizations import _SpectralNorm, _WeightNorm
from torch.nn.utils.parametrize import ParametrizationList

from thalweg.errors import ModelError, UsageError, unknown_name
from thalweg.results import Summarized, Table

Vectors = Float[Tensor, "members parameters"]  # one a member, in the columns of theta
KINDS = ("embedding", "hidden", "output", "bias", "norm", "other")
NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_MATRICES = (nn.Linear, _ConvNd, nn.Bilinear, nn.MultiheadAttention, nn.RNNBase)
_RECURRENT = re.compile(r"(weight|bias)_(ih|hh|hr)(_l\d+(_reverse)?)?")
_RENAMED = re.compile(r"(?<!bias)_v$|_orig$")  # by torch.nn.utils' weight_norm, and spectral_norm and pruning


@dataclass(frozen=True)
class Entry:
    """One trained tensor: columns start:stop of theta, read as `shape`.

    Args:
        name: its first name in the model; `ties` are further names of the same tensor.
        kind: embedding, hidden (weights of linear, convolution and attention layers), output (the last
            of those, unless it is tied to an embedding), bias, norm (scale and shift of normalization layers) or other.
        filter_dim: the dimension along which its filters lie, each making one output unit: 0, but 1 of a transposed
            convolution (where it has no groups).
        module: path of the module that owns it, under its first name; "" is the model itself.
        fan_in: the fan-in by which the initialization of torch's own layer scales what it draws for this tensor,
            whatever the model draws later. Uniform in +-1/sqrt(fan_in) are weights and biases of linear layers
            (in_features), bilinear ones (in1_features), convolutions (kernel times the input channels of a group; of a
            transposed one, as in torch, its output channels), and recurrent layers and cells (hidden_size for all of
            them, also for weights that read the input). By Xavier's rule, with the width read, start the weights of
            attention that make queries, keys and values, and bias_k and bias_v (embed_dim). Where pruning, weight or
            spectral normalization, or a parametrization without right_inverse, keep the tensor under another name,
            that one has it. None where torch uses none: other biases of attention (zero), embeddings, normalization,
            magnitudes, and parameters of one's own, also in subclasses of torch's layers.

    >>> import thalweg as tw
    >>> entry = tw.Layout.of(tw.nets.mlp(4, 3, 2))["hidden1.weight"]
    >>> entry.size, entry.filters
    (12, 3)
    >>> entry.module, entry.fan_in
    ('hidden1', 4)
    """

    name: str
    shape: tuple[int, ...]
    start: int
    kind: str
    ties: tuple[str, ...] = ()
    filter_dim: int = 0
    module: str = ""
    fan_in: int | None = None

    @cached_property
    def size(self) -> int:
        """Number of columns."""
        return math.prod(self.shape)

    @cached_property
    def columns(self) -> slice:
        """The columns of theta that hold this tensor."""
        return slice(self.start, self.start + self.size)

    @property
    def filters(self) -> int | None:
        """How many rows it has, which are its filters where `filter_dim` is 0; None below two dimensions."""
        return self.shape[0] if len(self.shape) > 1 else None


@dataclass(frozen=True)
class Layout(Summarized):
    """Which columns of theta (members, parameters) are which entries of which tensor.

    Only parameters that require a gradient are columns; a tensor with several names (tied weights) is
    there once.

    >>> import thalweg as tw
    >>> layout = tw.Layout.of(tw.nets.mlp(4, 3, 2))
    >>> [(entry.name, entry.shape, entry.kind) for entry in layout][:2]
    [('hidden1.weight', (3, 4), 'hidden'), ('hidden1.bias', (3,), 'bias')]
    >>> layout["output.weight"].columns
    slice(15, 21, None)
    """

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, module: nn.Module) -> "Layout":
        """The layout of a module's trained parameters, in the order of `named_parameters()`.

        Raises:
            ModelError: there is nothing to train, or a parameter is complex, lazy or of its own dtype.
        """
        names: dict[Tensor, list[str]] = {}
        for name, parameter in module.named_parameters(remove_duplicate=False):
            if parameter.requires_grad:
                names.setdefault(parameter, []).append(name)
        _check(names)
        kinds = _kinds(module, names)
        entries, start = [], 0
        for parameter, (first, *ties) in names.items():
            dim = _filter_dim(module, first, parameter)
            path = first.rpartition(".")[0]
            fan_in = _fan_in(module, first)
            entries.append(Entry(first, tuple(parameter.shape), start, kinds[first], tuple(ties), dim, path, fan_in))
            start += parameter.numel()
        return cls(tuple(entries))

    def facts(self) -> dict[str, str]:
        """How many tensors and parameters."""
        return {"tensors": f"{len(self.entries)}", "parameters": f"{self.parameters:,}"}

    def details(self) -> Table:
        """Every tensor."""
        return Table(
            {
                "tensor": [entry.name for entry in self.entries],
                "shape": [" x ".join(map(str, entry.shape)) for entry in self.entries],
                "kind": [entry.kind for entry in self.entries],
                "parameters": [entry.size for entry in self.entries],
            }
        )

    @cached_property
    def parameters(self) -> int:
        """Number of columns of theta."""
        return sum(entry.size for entry in self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __getitem__(self, name: str) -> Entry:
        """The entry of that name, also under a tied one."""
        for entry in self.entries:
            if name == entry.name or name in entry.ties:
                return entry
        known = [entry.name for entry in self.entries]
        raise unknown_name("parameter", name, known)

    def views(self, theta: Shaped[Tensor, "*rows parameters"]) -> dict[str, Tensor]:
        """Every tensor as a view into theta, with theta's leading dimensions in front; nothing is copied."""
        rows = theta.shape[:-1]
        return {entry.name: theta[..., entry.columns].view((*rows, *entry.shape)) for entry in self.entries}

    def leaves(self, theta: Shaped[Tensor, "*rows parameters"]) -> dict[str, Tensor]:
        """The same to compute with: tensors of pairs (..., 2), which `torch.view_as_complex` may read, in own memory.

        It reads pairs at even places only, and where those of a row lie depends on all tensors before it.
        """
        views = self.views(theta)
        for name in self.uneven:
            views[name] = views[name].clone(memory_format=torch.contiguous_format)
        return views

    @cached_property
    def uneven(self) -> tuple[str, ...]:
        """Tensors of pairs (..., 2) that begin at odd places of theta, or do so in some rows."""
        odd = self.parameters % 2
        return tuple(entry.name for entry in self.entries if entry.shape[-1:] == (2,) and (odd or entry.start % 2))

    def pack(self, tensors: Mapping[str, Tensor]) -> Shaped[Tensor, "*rows parameters"]:
        """The inverse of `views`: named tensors with equal leading dimensions, as columns of one matrix."""
        columns = []
        for entry in self.entries:
            tensor = tensors[entry.name]
            columns.append(tensor.reshape(*tensor.shape[: tensor.ndim - len(entry.shape)], entry.size))
        return torch.cat(columns, dim=-1)

    def where(self, *kinds: str) -> Bool[Tensor, " parameters"]:
        """A mask over the columns that belong to one of these kinds (see `Entry`)."""
        for kind in kinds:
            if kind not in KINDS:
                raise unknown_name("kind", kind, KINDS)
        return self.mark(entry for entry in self.entries if entry.kind in kinds)

    def mark(self, entries: Iterable[Entry]) -> Bool[Tensor, " parameters"]:
        """A mask over the columns of the given entries."""
        mask = torch.zeros(self.parameters, dtype=torch.bool)
        for entry in entries:
            mask[entry.columns] = True
        return mask


def _check(names: Mapping[Tensor, list[str]]) -> None:
    if not names:
        msg = "The model has no parameter that requires a gradient; call requires_grad_(True) on what to train."
        raise ModelError(msg)
    lazy = [first for parameter, (first, *_) in names.items() if isinstance(parameter, nn.UninitializedParameter)]
    if lazy:
        msg = f"Parameter {lazy[0]!r} is lazy and has no shape yet; run the model once on an example first."
        raise ModelError(msg)
    dtypes: dict[torch.dtype, str] = {}
    for parameter, (first, *_) in names.items():
        dtypes.setdefault(parameter.dtype, first)
    if len(dtypes) > 1:
        listed = ", ".join(f"{first!r} is {dtype}" for dtype, first in dtypes.items())
        msg = f"A population holds one dtype, but {listed}; convert the model with .float() or .double()."
        raise ModelError(msg)
    if not next(iter(dtypes)).is_floating_point:
        msg = f"Parameters are {next(iter(dtypes))}; a population holds real floating-point numbers."
        raise ModelError(msg)


def _kinds(module: nn.Module, names: Mapping[Tensor, list[str]]) -> dict[str, str]:
    kinds = {}
    for parameter, (first, *_) in names.items():
        path, _, leaf = first.rpartition(".")
        owner = module.get_submodule(path)
        if isinstance(owner, NORMS):
            kinds[first] = "norm"
        elif isinstance(owner, nn.Embedding | nn.EmbeddingBag):
            kinds[first] = "embedding"
        elif "bias" in leaf:
            kinds[first] = "bias"
        else:
            kinds[first] = "hidden" if _is_matrix(module, first, parameter) else "other"
    matrices = [
        parameter
        for name, parameter in module.named_parameters(remove_duplicate=False)
        if parameter in names and _is_matrix(module, name, parameter)
    ]
    last = names[matrices[-1]][0] if matrices else None
    if last is not None and kinds[last] == "hidden":  # a matrix tied to an embedding stays one
        kinds[last] = "output"
    return kinds


def _is_matrix(module: nn.Module, name: str, parameter: Tensor) -> bool:
    owner = module.get_submodule(name.rpartition(".")[0])
    return isinstance(owner, _MATRICES) and parameter.ndim > 1


def _filter_dim(module: nn.Module, name: str, parameter: Tensor) -> int:
    owner = module.get_submodule(name.rpartition(".")[0])
    return int(isinstance(owner, _ConvTransposeNd) and owner.groups == 1 and parameter.ndim > 1)


def _fan_in(module: nn.Module, name: str) -> int | None:
    """By the layer's sizes, see `Entry`."""
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    if isinstance(owner, ParametrizationList):  # "weight" of a layer is made of parametrizations.weight.original
        unchanged = all(isinstance(one, _SpectralNorm) or not hasattr(one, "right_inverse") for one in owner)
        kept = "original1" if isinstance(owner[0], _WeightNorm) else "original" if unchanged else ""
        path, _, weight = path.rpartition(".")
        owner = module.get_submodule(path.rpartition(".")[0])
        leaf = weight if leaf == kept else ""
    else:
        leaf = _RENAMED.sub("", leaf)
    if isinstance(owner, nn.RNNBase | nn.RNNCellBase):
        return owner.hidden_size if _RECURRENT.fullmatch(leaf) else None
    if isinstance(owner, nn.MultiheadAttention):
        widths = {"in_proj_weight": owner.embed_dim, "q_proj_weight": owner.embed_dim, "bias_k": owner.embed_dim}
        widths |= {"k_proj_weight": owner.kdim, "v_proj_weight": owner.vdim, "bias_v": owner.embed_dim}
        return widths.get(leaf)
    if leaf != "weight" and (leaf != "bias" or isinstance(owner, NonDynamicallyQuantizableLinear)):
        return None
    if isinstance(owner, _ConvNd):
        channels = owner.out_channels if isinstance(owner, _ConvTransposeNd) else owner.in_channels
        return channels // owner.groups * math.prod(owner.kernel_size)
    if isinstance(owner, nn.Bilinear):
        return owner.in1_features
    return owner.in_features if isinstance(owner, nn.Linear) else None


def same_layout(first: Layout, second: Layout) -> None:
    """Raise UsageError naming the first difference when two layouts are not the same."""
    for a, b in zip(first.entries, second.entries, strict=False):
        if (a.name, a.shape) != (b.name, b.shape):
            msg = f"The two layouts differ: {a.name!r} {a.shape} against {b.name!r} {b.shape}."
            raise UsageError(msg)
    if len(first.entries) != len(second.entries):
        msg = f"The two layouts differ: {len(first.entries)} tensors against {len(second.entries)}."
        raise UsageError(msg)
