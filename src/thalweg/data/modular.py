"""Modular arithmetic: the whole table of an operation, part of it held out."""

import torch
import torch.nn.functional as F

from thalweg.data.dataset import Data
from thalweg.data.examples import Examples
from thalweg.errors import UsageError, check_count, check_type, unknown_name
from thalweg.guard import guarded
from thalweg.randomness import generator

_OPERATIONS = ("+", "-", "*", "/", "random")
_ENCODINGS = ("one_hot", "tokens")


@guarded
def modular(
    p: int = 59,
    operation: str = "+",
    *,
    train_fraction: float = 0.5,
    seed: int = 0,
    encoding: str = "one_hot",
) -> Data:
    """All pairs (a, b) with the class c = a o b mod p; a random fraction is trained on, the rest held out.

    Args:
        p: the modulus, at least 2.
        operation: "+", "-", "*", "/" (a = b c mod p; p prime, b not 0, so p(p - 1) pairs instead of p^2), or "random":
            every answer is drawn by itself, from the stream (seed, "random table"), so that nothing can be learnt of
            the pairs held out.
        train_fraction: exactly round(train_fraction * pairs) pairs are trained on; at 1 nothing is held out.
        seed: of the split, the stream (seed, "modular split"). A smaller fraction's training pairs are
            among those of a larger one.
        encoding: "one_hot" for float32 inputs (n, 2p), the one-hot codes of a and b side by side;
            "tokens" for int64 inputs (n, 3), the tokens a, b and "=" (which is p): a vocabulary of p + 1.

    Raises:
        UsageError: p, operation, encoding or fraction is not one of those above.

    Source: Power et al., Grokking, arXiv:2201.02177.

    >>> import thalweg as tw
    >>> data = tw.data.modular(7)
    >>> len(data.train), len(data.test), data.classes
    (24, 25, 7)
    """
    if operation not in _OPERATIONS:
        raise unknown_name("operation", operation, _OPERATIONS)
    if encoding not in _ENCODINGS:
        raise unknown_name("encoding", encoding, _ENCODINGS)
    check_count("modular p", p, least=2)
    check_type("modular train_fraction", train_fraction, (int, float), "a number above 0 and up to 1")
    if not 0 < train_fraction <= 1:
        msg = f"train_fraction must be above 0 and up to 1; got {train_fraction}."
        raise UsageError(msg)
    a, b = torch.cartesian_prod(torch.arange(p), torch.arange(p)).unbind(1)
    if operation == "/":
        if any(p % divisor == 0 for divisor in range(2, p)):
            msg = f"Division modulo p needs a prime p; {p} is not one."
            raise UsageError(msg)
        a, b = a[b > 0], b[b > 0]
    if operation == "random":
        targets = torch.randint(p, a.shape, generator=generator(seed, "random table"))
    else:
        targets = _table(a, b, operation, p)
    if encoding == "tokens":
        inputs = torch.stack([a, b, torch.full_like(a, p)], dim=1)
    else:
        inputs = torch.cat([F.one_hot(a, p), F.one_hot(b, p)], dim=1).float()
    title = f"random answers to pairs mod {p}" if operation == "random" else f"a {operation} b mod {p}"
    trained = round(train_fraction * len(a))
    if trained < 1:
        msg = f"train_fraction must leave 1 to {len(a):,} pairs to train on; got {train_fraction}."
        raise UsageError(msg)
    order = torch.randperm(len(a), generator=generator(seed, "modular split"))
    train, test = order[:trained], order[trained:]
    return Data(
        Examples(inputs[train], targets[train]),
        Examples(inputs[test], targets[test]) if len(test) else None,
        name="modular",
        classes=p,
        notes=(f"{title}, {trained:,} of {len(a):,} pairs trained on (seed {seed})",),
    )


def _table(a: torch.Tensor, b: torch.Tensor, operation: str, p: int) -> torch.Tensor:
    if operation == "+":
        return (a + b) % p
    if operation == "-":
        return (a - b) % p
    if operation == "*":
        return (a * b) % p
    inverse = torch.tensor([0] + [pow(value, -1, p) for value in range(1, p)])
    return (a * inverse[b]) % p
