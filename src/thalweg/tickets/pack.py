"""Sparse networks in small files: one safetensors file with a checksum, and no pickle."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import StorageError, UsageError, check_choice, check_type
from thalweg.guard import guarded
from thalweg.population import Population, Problem
from thalweg.results import Cost, Provenance, Reading, Result
from thalweg.storage.atomic import explaining, replacing
from thalweg.storage.encoding import parsed
from thalweg.storage.statefile import read_safetensors, write_safetensors
from thalweg.tickets.pack_positions import decoded, encoded
from thalweg.tickets.pack_values import VALUES, restored, stored
from thalweg.tickets.slicing import Sliced
from thalweg.tickets.slicing_plan import SlicingPlan

_FORMAT = 1
_SEPARATOR = "|"  # between the member, the tensor and what of it


@dataclass(frozen=True, eq=False)
class Packed(Result):
    """A file of sparse networks: what `pack` returns.

    >>> import tempfile
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     packed = tw.tickets.pack(problem.initialize(1), f"{folder}/dense.safetensors")
    >>> packed["stored"].tolist()[:2], bool(packed.size > packed["stored"].sum())
    ([2048, 32], True)

    Args:
        reading: "stored" bytes (tensor), all members together, and "dense" ones, of a dense file in float32 (in float64
            where that is stored); "rounding" (tensor): the largest difference of a stored number from what it was;
            "size": bytes of the whole file, and "ratio" of that of dense to it.
        path: the file.
        codes: how the positions of each tensor are stored, by tensor, of the first member.
    """

    path: Path
    codes: Mapping[str, str] = field(repr=False)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return int(self["size"])


def pack(networks: Population | Sliced, path: str | os.PathLike[str], *, values: str = "float32") -> Packed:
    """Write sparse networks into one small file: active numbers, and where they are.

    Positions are a bitmask or gaps between active entries, whichever is shorter (see `pack_positions.encoded`). At
    density d, float32 and a bitmask take 32 d + 1 bits a weight: 7.6 times less than dense at d = 0.1, where no code of
    positions gives more than 8.7 times. Networks that were sliced are dense and small; the plan that builds them is in
    the file too. A SHA-256 over all names, shapes, bytes and settings is in the header. The file is complete or absent.

    >>> import tempfile, torch
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> ticket = problem.initialize(1).with_mask(torch.arange(problem.layout.parameters) % 10 == 0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     packed = tw.tickets.pack(ticket, f"{folder}/ticket.safetensors")
    ...     again = tw.tickets.unpack(f"{folder}/ticket.safetensors", problem)
    >>> bool((again.theta == ticket.theta).all()), bool((again.mask == ticket.mask).all())
    (True, True)
    >>> packed.codes["hidden1.weight"], packed["stored"].tolist()[0]
    ('gaps8', 260)

    Args:
        networks: a population, each member with its own mask, or what `sliced` gave. Without a mask, numbers that are
            not zero are stored.
        path: ends in .safetensors; a file that is there is replaced.
        values: of weights: "float32" (of a population of float64 it rounds), "bfloat16" (8 significant bits), "int8"
            (127 steps to the largest of a filter) or "float64". Biases and norms are float32 or float64.

    Raises:
        UsageError: another ending or kind of values, or networks that are not finite.
        StorageError: the file cannot be written; what was there is as before.

    Cost: a pass over the weights.
    """
    began = time.perf_counter()
    check_type("pack networks", networks, (Population, Sliced), "a Population, or what sliced() gave")
    check_choice("pack values", values, VALUES)
    population = networks.population if isinstance(networks, Sliced) else networks
    plan = networks.plan.to_document() if isinstance(networks, Sliced) else None
    path = Path(path)
    if path.suffix != ".safetensors":
        msg = f"{path} does not end in .safetensors, the only format networks are packed in."
        raise UsageError(msg)
    if not population.theta.isfinite().all():
        msg = "A network that is not finite cannot be packed; select the members that did not diverge."
        raise UsageError(msg)
    tensors, codes, bytes_of, rounding = _parts(population, values)
    header = {
        "thalweg": "packed networks",
        "format": _FORMAT,
        "members": len(population),
        "masked": population.mask is not None,
        "values": values,
        "dtype": str(population.theta.dtype).removeprefix("torch."),
        "shapes": {entry.name: entry.shape for entry in population.layout},
        "codes": codes,
        "plan": plan,
    }
    text = json.dumps(header, separators=(",", ":"), allow_nan=False)
    metadata = {"thalweg": text, "sha256": _checksum(text, tensors)}
    with explaining(path), replacing(path) as temporary:
        write_safetensors(temporary, tensors, metadata)
        size = temporary.stat().st_size
    return _packed(population, path, size, values, codes[0], bytes_of, rounding, time.perf_counter() - began)


@guarded
def unpack(path: str | os.PathLike[str], problem: Problem) -> Population:
    """The networks of a packed file, with their masks; of a sliced model, with the layout of the small one.

    >>> import tempfile
    >>> import thalweg as tw
    >>> problem = tw.Problem(lambda: tw.nets.mlp(64, 8, 10), tw.data.digits())
    >>> small = tw.tickets.sliced(problem, problem.initialize(2), {"hidden1": [0, 3, 5]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     packed = tw.tickets.pack(small, f"{folder}/small.safetensors")
    ...     again = tw.tickets.unpack(f"{folder}/small.safetensors", problem)
    >>> again.module(1).hidden1.out_features, bool((again.theta == small.population.theta).all())
    (3, True)

    Args:
        path: what `pack` wrote.
        problem: of the model that was packed, or sliced and packed; its own numbers are not used.

    Raises:
        StorageError: the file is missing, truncated, altered, of another format, or of another model.
    """
    path = Path(path)
    check_type("unpack problem", problem, Problem, "a Problem")
    with explaining(path):
        if not path.is_file():
            msg = f"{path} is not a file, and packed networks were expected."
            raise StorageError(msg)
        tensors = read_safetensors(path)
        header = _header(path, tensors)
    template = problem.template
    if header["plan"] is not None:
        template = SlicingPlan.from_document(header["plan"]).module(template)
    empty = Population.of([template] * header["members"])
    dtype = getattr(torch, header["dtype"])
    shapes = {name: tuple(shape) for name, shape in header["shapes"].items()}
    own, masks, used = [], [], set()
    for entry in empty.layout:
        if shapes.get(entry.name) != entry.shape:
            raise _other_model(path, f"its {entry.name!r} is {shapes.get(entry.name, 'absent')} and not {entry.shape}")
        parts, active = [], []
        for member, codes in enumerate(header["codes"]):
            key = _SEPARATOR.join((str(member), entry.name))
            names = [f"{key}{_SEPARATOR}{part}" for part in ("values", "places", "scale")]
            used |= set(names)
            places, scale = (tensors.get(name) for name in names[1:])
            where = decoded(codes[entry.name], places, entry.size)
            parts.append(restored(entry, tensors[names[0]], where, scale, dtype))
            active.append(where.view(entry.shape))
        own.append(torch.stack(parts).reshape(len(parts), -1))
        masks.append(torch.stack(active).reshape(len(active), -1))
    buffers = {}
    for name, one in empty.buffers.items():
        key = _SEPARATOR.join(("all", name))
        if key not in tensors or tensors[key].shape != one.shape:
            raise _other_model(path, f"it has no {name!r} of shape {tuple(one.shape[1:])}")
        buffers[name] = tensors[key]
        used.add(key)
    foreign = sorted(set(tensors) - used)
    if foreign:
        raise _other_model(path, f"this one has no {foreign[0].split(_SEPARATOR)[1]!r}")
    mask = torch.cat(masks, 1) if header["masked"] else None
    found = Population(torch.cat(own, 1), buffers, empty.layout, empty.template, mask)
    return found.to(problem.device, problem.dtype)


def _parts(
    population: Population, values: str
) -> tuple[dict[str, Tensor], list[dict[str, str]], dict[str, int], dict[str, float]]:
    """What the file holds by name, the codes of positions, and bytes and rounding by tensor."""
    tensors: dict[str, Tensor] = {}
    codes: list[dict[str, str]] = [{} for _ in range(len(population))]
    bytes_of, rounding = {}, {}
    theta = population.layout.views(population.theta.detach().cpu())
    masks = None if population.mask is None else population.layout.views(population.mask.cpu())
    for entry in population.layout:
        bytes_of[entry.name], rounding[entry.name] = 0, 0.0
        for member in range(len(population)):
            tensor = theta[entry.name][member]
            active = (_written(tensor) if masks is None else masks[entry.name][member]).flatten()
            code, places = encoded(active)
            numbers, scale = stored(entry, tensor, active, values)
            key = _SEPARATOR.join((str(member), entry.name))
            parts = {"values": numbers} | ({} if code == "all" else {"places": places})
            parts |= {} if scale is None else {"scale": scale}
            tensors |= {f"{key}{_SEPARATOR}{part}": one.contiguous() for part, one in parts.items()}
            codes[member][entry.name] = code
            bytes_of[entry.name] += sum(one.numel() * one.element_size() for one in parts.values())
            again = restored(entry, numbers, active, scale, tensor.dtype)
            apart = float((again - tensor).abs().max()) if tensor.numel() else 0.0
            rounding[entry.name] = max(rounding[entry.name], apart)
    for name, one in population.buffers.items():
        tensors[_SEPARATOR.join(("all", name))] = one.detach().cpu().contiguous().clone()
        bytes_of[name], rounding[name] = one.numel() * one.element_size(), 0.0
    return tensors, codes, bytes_of, rounding


def _written(tensor: Tensor) -> Tensor:
    """Which numbers are not plain zeros; -0 is another number, to the bit."""
    return (tensor != 0) | tensor.signbit()


def _packed(
    population: Population,
    path: Path,
    size: int,
    values: str,
    codes: Mapping[str, str],
    bytes_of: Mapping[str, int],
    rounding: Mapping[str, float],
    seconds: float,
) -> Packed:
    """The result, with what a dense file would take: of float64 where that is stored, and else of float32."""
    item = 8 if values == "float64" else 4
    dense = {entry.name: entry.size * item * len(population) for entry in population.layout}
    dense |= {name: one.numel() * one.element_size() for name, one in population.buffers.items()}
    names = list(bytes_of)
    reading = Reading(
        "packed networks",
        {
            "stored": [bytes_of[name] for name in names],
            "dense": [dense[name] for name in names],
            "rounding": [rounding[name] for name in names],
            "size": size,
            "ratio": sum(dense.values()) / size,
        },
        dict.fromkeys(("stored", "dense", "rounding"), ("tensor",)),
        {"tensor": names},
        {"stored": "bytes", "dense": "bytes", "size": "bytes"},
        cost=Cost(seconds),
        provenance=Provenance.here(None, str(population.theta.device), str(population.theta.dtype)),
        notes=(f"Weights are stored as {values}.",),
    )
    return Packed(reading, path, codes)


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the settings and every tensor's name, dtype, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        one = tensors[name]
        digest.update(f"\n{name} {one.dtype} {tuple(one.shape)}\n".encode())
        digest.update(one.contiguous().view(-1).view(torch.uint8).numpy().tobytes() if one.numel() else b"")
    return digest.hexdigest()


def _header(path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The settings of a packed file whose checksum is right."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "thalweg" not in metadata or "sha256" not in metadata:
        msg = f"{path} is a safetensors file, but no packed networks; read it with load_state_file()."
        raise StorageError(msg)
    if _checksum(metadata["thalweg"], tensors) != metadata["sha256"]:
        msg = f"{path} was altered after it was written (its checksum differs); copy it again or make it again."
        raise StorageError(msg)
    header = parsed(metadata["thalweg"])
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        found = header.get("format") if isinstance(header, dict) else None
        msg = f"{path} has format {found!r}, and {_FORMAT} is read here."
        raise StorageError(msg)
    members, codes = header.get("members"), header.get("codes")
    whole = isinstance(members, int) and isinstance(codes, list) and 0 < members == len(codes) <= len(tensors)
    known = isinstance(getattr(torch, str(header.get("dtype")), None), torch.dtype)
    if not (whole and known and isinstance(header.get("shapes"), dict) and {"masked", "plan"} <= header.keys()):
        msg = f"{path} says of itself what its tensors do not; it was not written by pack(), so make it again."
        raise StorageError(msg)
    return header


def _other_model(path: Path, why: str) -> StorageError:
    return StorageError(f"{path} is of another model: {why}. Give the problem whose networks were packed.")
