"""Hugging Face's libraries where a broken torchvision lies beside them: the one place that says it is absent."""

import importlib
import importlib.util
import sys
from typing import Any


def load(name: str = "transformers") -> Any:
    """The library, imported once, with torchvision taken for absent where it does not load beside this torch."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, AttributeError):
        for part in [part for part in sys.modules if part.partition(".")[0] == "torchvision"]:
            del sys.modules[part]
        sys.modules["torchvision"] = None  # pyrefly: ignore
    return importlib.import_module(name)


def has_torchvision() -> bool:
    """Whether libraries that look for torchvision find it."""
    return importlib.util.find_spec("torchvision") is not None
