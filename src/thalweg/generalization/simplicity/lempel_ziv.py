"""How simple a row of bits is: the words of its Lempel-Ziv history, for many rows at once."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thalweg.errors import UsageError

_AT_ONCE = 2_048  # rows whose tables fit a processor's cache


def lempel_ziv_words(rows: ArrayLike) -> NDArray[np.int64]:
    """How many words the exhaustive history of each row has: (rows, n) to (rows,).

        a word begins where the last one ended, and is the shortest that does not occur earlier, overlaps allowed:
        it is s[l : l + k] with the smallest k for which s[l : l + k] is nowhere in s[0 : l + k - 1]

    A last word that the end of the row cuts short counts as one.

    >>> from thalweg.generalization import simplicity
    >>> # 0 . 001 . 10 . 100 . 1000 . 101, the example of the paper
    >>> row = [int(letter) for letter in "0001101001000101"]
    >>> simplicity.lempel_ziv_words([row, [0] * 16]).tolist()
    [6, 2]

    Args:
        rows: of 0 and 1, or of booleans: (rows, n), n at least 1.

    Raises:
        UsageError: not a table of bits.

    Cost: n^2 / 2 comparisons a row, vectorized over rows: 100,000 rows of 128 bits take about a second.

    Paper: Lempel & Ziv (1976), doi:10.1109/TIT.1976.1055501.
    """
    bits = as_bits("lempel_ziv_words", rows)
    parts = [_words(bits[start : start + _AT_ONCE]) for start in range(0, len(bits), _AT_ONCE)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def complexity(rows: ArrayLike) -> NDArray[np.float64]:
    """The Lempel-Ziv complexity of each row, read in both directions: (rows, n) to (rows,), in bits.

        K(s) = log2(n) (N(s) + N(reversed s)) / 2,    and log2(n) of a constant row;    N: see `lempel_ziv_words`

    >>> from thalweg.generalization import simplicity
    >>> simplicity.complexity([[0, 0, 0, 0], [0, 1, 0, 1], [0, 1, 1, 0]]).tolist()
    [2.0, 6.0, 6.0]

    Args:
        rows: of 0 and 1, or of booleans: (rows, n). Of a Boolean function: its values in the counting order of the
            inputs. Another order of the inputs gives other complexities.

    Raises:
        UsageError: not a table of bits.

    Cost: that of `lempel_ziv_words`, twice.

    Paper: Dingle, Camargo & Louis (2018), doi:10.1038/s41467-018-03101-6; Valle-Perez et al. (2018), arXiv:1805.08522.
    """
    bits = as_bits("complexity", rows)
    words = (lempel_ziv_words(bits) + lempel_ziv_words(bits[:, ::-1])) / 2
    constant = (bits == bits[:, :1]).all(1)
    return math.log2(bits.shape[1]) * np.where(constant, 1.0, words)


def as_bits(name: str, rows: ArrayLike) -> NDArray[np.uint8]:
    """The rows as 0 and 1 of one byte each: (rows, n).

    Raises:
        UsageError: not a table of bits; `name` is the function's.
    """
    table = np.asarray(rows)
    if table.ndim != 2 or table.shape[1] < 1 or table.dtype.kind not in "biuf":
        msg = f"{name} needs a table (rows, n) of bits; got {table.dtype} of shape {table.shape}."
        raise UsageError(msg)
    if table.dtype != bool and not np.isin(table, (0, 1)).all():
        msg = f"{name} needs bits, 0 and 1; got numbers from {table.min():g} to {table.max():g}. Write values > 0."
        raise UsageError(msg)
    return table.astype(np.uint8)


def _words(bits: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Of a few rows: from the end to the start, how long each place's word may be; then as many jumps as it takes."""
    places = np.ascontiguousarray(bits.T)  # (n, rows)
    n, count = places.shape
    kind = np.uint8 if n < 256 else np.int32
    matched = np.zeros((n + 1, count), kind)  # from an earlier place and from `place`, how long both go on alike
    longest = np.zeros((n, count), np.int64)
    for place in range(n - 1, 0, -1):
        np.add(matched[1 : place + 1], 1, out=matched[:place])
        matched[:place] *= places[:place] == places[place]
        longest[place] = matched[:place].max(0)
    at, words, row = np.zeros(count, np.int64), np.zeros(count, np.int64), np.arange(count)
    while len(row):
        words[row] += 1
        at[row] += longest[at[row], row] + 1
        row = row[at[row] < n]
    return words
