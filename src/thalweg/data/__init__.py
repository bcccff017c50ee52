"""Data to learn from: small sets that need no network, and the user's own."""

from thalweg.data.dataset import Data, ExampleSet
from thalweg.data.digits import digits
from thalweg.data.examples import Examples
from thalweg.data.from_user import from_user
from thalweg.data.functions import friedman, parity, photograph
from thalweg.data.gaussian import gaussian_linear, gaussian_teacher
from thalweg.data.lazy_examples import LazyExamples
from thalweg.data.mnist1d import mnist1d
from thalweg.data.modular import modular
from thalweg.data.pooled import pooled
from thalweg.data.representations import in_principal_components, one_hot
from thalweg.data.tables import table
from thalweg.data.text import decode, text

__all__ = [
    "Data",
    "ExampleSet",
    "Examples",
    "LazyExamples",
    "decode",
    "digits",
    "friedman",
    "from_user",
    "gaussian_linear",
    "gaussian_teacher",
    "in_principal_components",
    "mnist1d",
    "modular",
    "one_hot",
    "parity",
    "photograph",
    "pooled",
    "table",
    "text",
]
