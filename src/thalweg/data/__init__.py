"""Data to learn from: small sets that need no network, and the user's own."""

from thalweg.data.dataset import Data, Rows
from thalweg.data.digits import digits
from thalweg.data.examples import Examples
from thalweg.data.gaussian import gaussian_linear, gaussian_teacher
from thalweg.data.mnist1d import mnist1d
from thalweg.data.modular import modular
from thalweg.data.own import own
from thalweg.data.streamed import Streamed
from thalweg.data.tables import table
from thalweg.data.text import decode, text

__all__ = [
    "Data",
    "Examples",
    "Rows",
    "Streamed",
    "decode",
    "digits",
    "gaussian_linear",
    "gaussian_teacher",
    "mnist1d",
    "modular",
    "own",
    "table",
    "text",
]
