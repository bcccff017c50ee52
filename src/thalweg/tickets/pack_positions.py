"""Where the entries of a sparse tensor are, in as few bytes as one of a few plain codes needs."""

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from numpy.typing import NDArray
from torch import Tensor

from thalweg.errors import StorageError

CODES = ("all", "bitmask", "gaps8", "gaps16")


def encoded(active: Bool[Tensor, " entries"]) -> tuple[str, UInt8[Tensor, " bytes"]]:
    """The shortest code of which entries are active, and its bytes.

    "all": nothing to say. "bitmask": one bit an entry, n / 8 bytes. "gaps8" and "gaps16": from each active entry to the
    next, less 1, in one or two bytes; the largest number there is stands for that many entries of which none is active,
    and the gap goes on. At density d a gap is 1/d on average, so gaps of one byte win from about d = 1/8 down.
    """
    count = active.numel()
    places = active.nonzero().flatten().cpu().numpy()
    if len(places) == count:
        return "all", torch.zeros(0, dtype=torch.uint8)
    codes = {
        "bitmask": np.packbits(active.cpu().numpy(), bitorder="little"),
        "gaps8": _gaps(places, np.dtype(np.uint8)),
        "gaps16": _gaps(places, np.dtype("<u2")),
    }
    name = min(codes, key=lambda one: codes[one].nbytes)
    return name, torch.from_numpy(codes[name].view(np.uint8).copy())


def decoded(code: str, raw: UInt8[Tensor, " bytes"] | None, count: int) -> Bool[Tensor, " entries"]:
    """Which of `count` entries are active.

    Raises:
        StorageError: bytes that are no such code.
    """
    active = torch.zeros(count, dtype=torch.bool)
    if code == "all":
        return ~active
    if raw is None:
        raise _damaged(code)
    data = raw.numpy()
    if code == "bitmask":
        if len(data) != -(-count // 8):
            raise _damaged(code)
        return torch.from_numpy(np.unpackbits(data, count=count, bitorder="little").astype(bool))
    if code not in CODES or (len(data) % 2 and code == "gaps16"):
        raise _damaged(code)
    gaps = data.astype(np.int64) if code == "gaps8" else data.view("<u2").astype(np.int64)
    most = 255 if code == "gaps8" else 65535
    ends = gaps < most  # those behind which an active entry is
    places = (np.cumsum(gaps) + np.cumsum(ends) - 1)[ends]
    if len(places) and places[-1] >= count:
        raise _damaged(code)
    active[torch.from_numpy(places)] = True
    return active


def _gaps(places: NDArray[np.int64], dtype: np.dtype) -> NDArray[np.unsignedinteger]:
    most = int(np.iinfo(dtype).max)
    gaps = np.diff(places, prepend=-1) - 1
    whole = gaps // most
    found = np.full(int(whole.sum()) + len(gaps), most, dtype)
    found[np.cumsum(whole + 1) - 1] = gaps % most
    return found


def _damaged(code: str) -> StorageError:
    return StorageError(f"The packed file holds positions that are no {code!r} code; make it again.")
