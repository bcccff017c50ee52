"""What is taken for workers."""

import pytest

import thalweg as tw
from thalweg.workers import Here, Processes, Ray, check_workers


def test_workers_are_taken_and_no_cluster_is_joined():
    for workers in (Here(), Processes(2), Ray("ray://127.0.0.1:1")):
        check_workers("train workers", workers)
    check_workers("train workers", None, optional=True)


@pytest.mark.parametrize(
    ("got", "shown"),
    [(2, "2"), ("ray", "'ray'"), (Processes, "the class Processes"), (None, "None"), (map, "the class map")],
)
def test_what_is_none(got, shown):
    with pytest.raises(tw.UsageError) as caught:
        check_workers("train workers", got)
    assert str(caught.value) == f"train workers must be workers such as workers.Processes(2); got {shown}."
