"""A record with one object, for the tests of stores."""

from pathlib import Path

import torch

from thalweg.storage import Store


def the_object(store: Store, kind: str = "run", key: str = "a") -> Path:
    (sha256,) = store.get(kind, key).objects.values()
    return store.path / "objects" / f"{sha256}.safetensors"


def put(store: Store, key: str = "a", value: float = 1.0) -> None:
    store.put("run", key, {"value": value}, {"state": {"theta": torch.full((4,), value)}})
