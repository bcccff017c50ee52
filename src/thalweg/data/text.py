"""Byte-level text that every Python has with it: its own documentation."""

import functools
import hashlib
import platform
import re

import torch
from jaxtyping import Int64
from torch import Tensor

from thalweg.data.dataset import Data
from thalweg.data.examples import Examples
from thalweg.errors import UsageError, check_count, check_type
from thalweg.guard import guarded


@guarded
def text(*, context: int = 64, stride: int | None = None, test_fraction: float = 0.1) -> Data:
    """Windows of Python's language reference: inputs (n, context), targets the next byte at every position.

    The document is `pydoc_data.topics` of the standard library (about 370,000 bytes), its topics in
    alphabetical order and every paragraph once: chapters quote each other, and a repeated paragraph
    would leak held-out text into training. It is the same for one version of Python; the note carries
    its hash. The last `test_fraction` of the document is held out and shares no byte with the training part.

    Args:
        context: bytes in a window.
        stride: bytes from one window to the next; None: `context`, windows that do not overlap.
        test_fraction: part of the document held out, above 0 and below 1.

    Tokens are indices into the bytes that occur, `ground_truth["vocabulary"]`; `decode` turns them into text.

    Raises:
        UsageError: a context, stride or fraction that leaves no window.

    >>> import thalweg as tw
    >>> data = tw.data.text(context=32)
    >>> data.train.inputs.shape[1], data.train.targets.shape[1]
    (32, 32)
    """
    stride = context if stride is None else stride
    check_count("text context", context)
    check_count("text stride", stride)
    check_type("text test_fraction", test_fraction, (int, float), "a number between 0 and 1")
    if not 0 < test_fraction < 1:
        msg = f"text test_fraction must be a number between 0 and 1; got {test_fraction}."
        raise UsageError(msg)
    document = _document()
    vocabulary, tokens = torch.frombuffer(bytearray(document), dtype=torch.uint8).unique(return_inverse=True)
    cut = len(tokens) - round(test_fraction * len(tokens))
    return Data(
        _windows(tokens[:cut], context, stride),
        _windows(tokens[cut:], context, stride),
        name="text",
        classes=len(vocabulary),
        notes=(
            f"documentation of Python {platform.python_version()}, {len(document):,} bytes, "
            f"sha256 {hashlib.sha256(document).hexdigest()[:16]}",
        ),
        ground_truth={"vocabulary": vocabulary},
    )


@guarded
def decode(data: Data, tokens: Int64[Tensor, " length"]) -> str:
    """The text that tokens of `text()` stand for.

    >>> import thalweg as tw
    >>> data = tw.data.text(context=32)
    >>> len(tw.data.decode(data, data.train.inputs[0]))
    32
    """
    return bytes(data.ground_truth["vocabulary"][tokens.flatten()].tolist()).decode(errors="replace")


def _windows(tokens: Int64[Tensor, " bytes"], context: int, stride: int) -> Examples:
    if len(tokens) <= context:
        msg = f"context={context:,} needs {context + 1:,} bytes, but a part of the text has {len(tokens):,}."
        raise UsageError(msg)
    windows = tokens.unfold(0, context + 1, stride)
    return Examples(windows[:, :-1].contiguous(), windows[:, 1:].contiguous())


@functools.cache
def _document() -> bytes:
    from pydoc_data.topics import topics

    paragraphs: dict[str, str] = {}
    for topic in sorted(topics):
        for paragraph in re.split(r"\n\s*\n", topics[topic]):
            key = " ".join(paragraph.split())
            if key:
                paragraphs.setdefault(key, paragraph)
    return "\n\n".join(paragraphs.values()).encode()
