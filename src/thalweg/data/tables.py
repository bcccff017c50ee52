"""Small real tables: measurements of things, and a class or a number to predict."""

from typing import Any

import numpy as np
import torch

from thalweg.data.dataset import Data
from thalweg.data.examples import Examples
from thalweg.errors import unknown_name
from thalweg.guard import guarded
from thalweg.randomness import stream_key

_LOADERS = {
    "breast_cancer": "load_breast_cancer",
    "diabetes": "load_diabetes",
    "iris": "load_iris",
    "wine": "load_wine",
}
_HELD_OUT = 0.2


@guarded
def table(name: str, *, seed: int = 0) -> Data:
    """One of the real tables that come with scikit-learn, float32, a fifth of it held out.

    - "breast_cancer": 569 tumors, 30 measurements of cell nuclei, benign or malignant;
    - "diabetes": 442 patients, 10 measurements, progression of the disease after a year (a number);
    - "iris": 149 irises, 4 lengths and widths, three species (of two that are alike one is left out);
    - "wine": 178 wines, 13 chemical measurements, three growers.

    Every measurement, and a number to predict, has mean 0 and variance 1 over the training examples.
    Classes are split in proportion.

    Args:
        name: of the table.
        seed: of the split, the stream (seed, "table split").

    Raises:
        UsageError: there is no such table.

    Sources: Wolberg et al. (doi:10.24432/C5DW2B); Efron et al., Least angle regression, 2004
    (doi:10.1214/009053604000000067); Fisher, 1936 (doi:10.1111/j.1469-1809.1936.tb02137.x); Aeberhard and Forina
    (doi:10.24432/C5PC7J).

    >>> import thalweg as tw
    >>> data = tw.data.table("iris")
    >>> len(data.train), len(data.test), data.classes
    (119, 30, 3)
    """
    if name not in _LOADERS:
        raise unknown_name("table", name, _LOADERS)
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    bunch: Any = getattr(datasets, _LOADERS[name])()
    classes = None if name == "diabetes" else len(bunch.target_names)
    # Of rows that are alike the first: the other could be held out from it.
    rows = np.sort(np.unique(np.column_stack([bunch.data, bunch.target]), axis=0, return_index=True)[1])
    train, test = train_test_split(
        rows,
        test_size=_HELD_OUT,
        stratify=None if classes is None else bunch.target[rows],
        random_state=stream_key(seed, "table split") % 2**32,
    )
    inputs = _standardized(bunch.data, train)
    if classes is None:
        targets = torch.from_numpy(_standardized(bunch.target[:, None], train)).float()
    else:
        targets = torch.from_numpy(bunch.target).long()
    x = torch.from_numpy(inputs).float()
    return Data(
        Examples(x[train], targets[train]),
        Examples(x[test], targets[test]),
        name=name,
        classes=classes,
        notes=(f"scikit-learn's table {name!r}, standardized on the training examples (seed {seed})",),
    )


def _standardized(values: Any, train: Any) -> Any:
    return (values - values[train].mean(0)) / values[train].std(0)
