"""Tensors by name in a file of the user's: safetensors both ways, torch's own format only to read."""

import os
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.arguments import in_words
from thalweg.errors import StorageError, UsageError
from thalweg.storage.atomic import explaining, replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_TORCH = (".pt", ".pth", ".bin", ".ckpt")


def misfits(expected: Mapping[str, "Tensor"], got: Mapping[str, "Tensor"]) -> list[str]:
    """Every difference in names and shapes between the tensors that are wanted and those that are there."""
    faults = [f"missing {name!r}" for name in expected if name not in got]
    faults += [f"unexpected {name!r}" for name in got if name not in expected]
    return faults + [
        f"{name!r} is {tuple(got[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected
        if name in got and got[name].shape != expected[name].shape
    ]


@in_words
def load_state_file(path: str | os.PathLike[str], *, entry: str | None = None) -> dict[str, "Tensor"]:
    """Read a checkpoint into {name: tensor} on the CPU, without ever running code from it.

    Args:
        path: a `.safetensors` file, or one of torch (`.pt`, `.pth`, `.bin`, `.ckpt`), which is read with
            `weights_only=True` and nothing else.
        entry: which entry of a checkpoint such as {"model": {...}, "ema": {...}} holds the weights; needed
            only where several could.

    Raises:
        StorageError: the file is missing, damaged or foreign, needs code to be run, or holds no tensors or
            several sets of them.
        UsageError: a file name with another ending.

    Example:
        >>> import tempfile, torch
        >>> from thalweg.storage import load_state_file
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"model": {"weight": torch.ones(2)}, "step": 7}, f"{folder}/checkpoint.pt")
        ...     load_state_file(f"{folder}/checkpoint.pt")
        {'weight': tensor([1., 1.])}
    """
    path = Path(path)
    if path.suffix not in (".safetensors", *_TORCH):
        msg = f"{path} cannot be read: its name does not end in .safetensors, {', '.join(_TORCH)}; convert it to one."
        raise UsageError(msg)
    with explaining(path):
        if not path.is_file():
            msg = f"{path} is not a file, and a checkpoint to read was expected."
            raise StorageError(msg)
        return read_safetensors(path) if path.suffix == ".safetensors" else _only(path, _read_torch(path), entry)


@in_words
def save_state_file(path: str | os.PathLike[str], tensors: Mapping[str, "Tensor | NDArray[Any]"]) -> None:
    """Write {name: tensor} as a `.safetensors` file, which appears complete or not at all.

    Raises:
        StorageError: it cannot be written; a file that was there is then as before.
        UsageError: the name has another ending, or an entry is not a tensor or array.

    Example:
        >>> import tempfile, numpy
        >>> from thalweg.storage import load_state_file, save_state_file
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_state_file(f"{folder}/weights.safetensors", {"weight": numpy.ones(2)})
        ...     load_state_file(f"{folder}/weights.safetensors")
        {'weight': tensor([1., 1.], dtype=torch.float64)}
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        msg = f"{path} does not end in .safetensors, the only format weights are written in."
        raise UsageError(msg)
    with explaining(path), replacing(path) as temporary:
        write_safetensors(temporary, tensors)


def read_safetensors(path: Path) -> dict[str, "Tensor"]:
    """The named tensors of a safetensors file, copied into memory of their own.

    Raises:
        StorageError: the file is not complete safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        # "pread", not "mmap": tensors over a mapped file change, or crash the process, when the file does.
        return load_file(path, backend="pread")
    except SafetensorError as error:
        msg = f"{path} is not a complete safetensors file ({error}); copy it again or make it again."
        raise StorageError(msg) from error


def write_safetensors(path: Path, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors or arrays to a file, not atomically; tensors that share memory are written twice.

    Args:
        path: where; nothing is there yet.
        tensors: by name.
        metadata: text by name, for the file's header.

    Raises:
        OSError: the file cannot be written.
        UsageError: an entry is not a dense tensor or numeric array.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with path.open("xb") as file:  # the operating system's own error when the place cannot be written
        mode = os.fstat(file.fileno()).st_mode
    try:
        save_file(_independent(tensors), path, None if metadata is None else dict(metadata))
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
    os.chmod(path, mode)  # safetensors writes for the owner alone; a shared store is read by others too


def _independent(tensors: Mapping[str, Any]) -> dict[str, "Tensor"]:
    """Dense CPU tensors, none of which shares its memory with another (as tied weights do)."""
    import numpy as np
    import torch

    independent: dict[str, torch.Tensor] = {}
    storages: set[int] = set()
    for name, value in tensors.items():
        try:
            # A copy of an array, as torch wants it writable and in the machine's own byte order.
            array = isinstance(value, np.ndarray)
            tensor = torch.as_tensor(value.astype(value.dtype.newbyteorder("="), order="C") if array else value)
            # Conjugation and negation are marks on a view, which a file of plain bytes would lose.
            tensor = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
        except (TypeError, ValueError, RuntimeError) as error:
            msg = f"The entry {name!r} is a {type(value).__name__}, not a dense tensor or numeric array: {error}"
            raise UsageError(msg) from error
        if not isinstance(name, str) or name == "__metadata__":
            header = ", which is the header's own name in safetensors files" if name == "__metadata__" else ""
            msg = f"Tensors are saved by names that are text; got {name!r}{header}."
            raise UsageError(msg)
        if tensor.dtype == torch.complex128 or tensor.is_quantized:
            how = "torch.view_as_real(x)" if tensor.is_complex() else "x.dequantize()"
            msg = f"The entry {name!r} is {tensor.dtype}, which safetensors files cannot hold; save {how} instead."
            raise UsageError(msg)
        storage = tensor.untyped_storage().data_ptr()
        independent[name] = tensor.clone() if storage in storages else tensor
        storages.add(storage)
    return independent


def _read_torch(path: Path) -> Any:
    """Whatever a torch file holds, read without running code."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as for a TorchScript archive, which is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = re.search(r"GLOBAL (\S+)", str(error))
        needs = f" (it names {reason[1]})" if reason else ""
        msg = (
            f"{path} can only be read by running code from it{needs}, which Thalweg never does. "
            "If you trust it, convert it once, where its classes can be imported, and pass the new file:\n"
            f"    loaded = torch.load({path.name!r}, weights_only=False)\n"
            '    state = loaded["state_dict"] if isinstance(loaded, dict) else loaded.state_dict()\n'
            f"    torch.save(state, {path.stem + '-weights.pt'!r})"
        )
        raise StorageError(msg) from error
    except (RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        first = str(error).partition("\n")[0] or type(error).__name__
        msg = f"{path} is damaged or not a checkpoint of torch ({first}); save it again with torch.save(state_dict)."
        raise StorageError(msg) from error


def _only(path: Path, content: Any, entry: str | None) -> dict[str, "Tensor"]:
    """The one set of named tensors in a checkpoint."""
    if entry is None and _is_state(content):
        return _plain(content)
    if not isinstance(content, Mapping):
        msg = f"{path} holds a {type(content).__name__}, and named tensors were expected; save model.state_dict()."
        raise StorageError(msg)
    states = {str(name): value for name, value in content.items() if _is_state(value)}
    if entry is not None and entry in states:
        return _plain(states[entry])
    if entry is None and len(states) == 1:
        return _plain(next(iter(states.values())))
    if states:
        got = "several sets of weights" if entry is None else f"no set of weights {entry!r}"
        msg = f"{path} holds {got}; pass entry= one of {', '.join(map(repr, states))}."
    else:
        what = ", ".join(f"{name!r} ({type(value).__name__})" for name, value in list(content.items())[:8])
        msg = f"{path} holds no set of named tensors, but {what or 'nothing'}; save model.state_dict()."
    raise StorageError(msg)


def _is_state(value: Any) -> bool:
    import torch

    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) and isinstance(item, torch.Tensor) for name, item in value.items())
    )


def _plain(state: Mapping[str, "Tensor"]) -> dict[str, "Tensor"]:
    return {name: tensor.detach() for name, tensor in state.items()}
