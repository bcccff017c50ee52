"""What tests of studies share."""

import functools
from collections.abc import Iterator

import pytest

import thalweg as tw
from thalweg.studies import lab


@pytest.fixture(scope="module")
def kept_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Labs train through a store: a run that several tests of a file need is trained once, and read by the others."""
    store = tw.Store(tmp_path_factory.mktemp("runs"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lab, "train", functools.partial(tw.train, store=store))
        yield
