"""Hugging Face's libraries where a broken torchvision lies beside them: the one place that says it is absent."""

import importlib
import importlib.util
import sys
from typing import Any

ASKED = "transformers.utils.import_utils"  # where transformers remembers what it found installed


def load(name: str = "transformers") -> Any:
    """The library, with torchvision taken for absent where it does not load beside this torch.

    Whatever was imported before: another library may have imported transformers, which then remembers that
    torchvision's files are there, or may have left a part of torchvision behind.
    """
    try:
        importlib.import_module("torchvision.transforms")
    except (ImportError, RuntimeError, AttributeError):
        for part in [part for part in sys.modules if part.partition(".")[0] == "torchvision"]:
            del sys.modules[part]
        sys.modules["torchvision"] = None  # pyrefly: ignore
        for answer in vars(sys.modules.get(ASKED, sys)).values():
            forget = getattr(answer, "cache_clear", None)
            if callable(forget):
                forget()
    return importlib.import_module(name)


def has_torchvision() -> bool:
    """Whether libraries that look for torchvision find it."""
    return importlib.util.find_spec("torchvision") is not None
