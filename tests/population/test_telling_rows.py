"""Rows that tell how a loss weighs examples."""

import torch

from thalweg.data import Examples, LazyExamples
from thalweg.population.telling_rows import telling_rows


def test_every_class_is_among_them_and_no_row_twice() -> None:
    y = torch.zeros(3000, dtype=torch.long)
    y[torch.tensor([7, 1500, 2999])] = torch.tensor([1, 2, -100])
    rows = telling_rows(Examples(torch.zeros(3000, 1), y), 1000)
    assert set(y[rows].tolist()) == {0, 1, 2, -100}
    assert len(set(rows.tolist())) == len(rows) <= 64 + 4


def test_classes_are_looked_for_at_every_position_of_every_integer_target() -> None:
    tokens = torch.zeros(500, 6, dtype=torch.long)
    tokens[400, 5], tokens[401, 0] = 3, 4
    labels = torch.zeros(500, dtype=torch.long)
    labels[77] = 1
    rows = telling_rows(Examples(torch.zeros(500, 1), (tokens, {"label": labels, "size": torch.rand(500)})), 1000)
    assert {400, 401, 77} <= set(rows.tolist())


def test_there_are_at_most_as_many_as_asked_and_they_are_the_same_each_time() -> None:
    examples = Examples(torch.zeros(500, 1), torch.arange(500))
    rows = telling_rows(examples, 40)
    assert len(rows) == 40
    assert torch.equal(rows, telling_rows(examples, 40))
    assert rows.max() > 250 > rows.min()
    assert len(telling_rows(examples, 1000)) == 500


def test_of_streamed_examples_only_a_few_are_read() -> None:
    examples = LazyExamples([(torch.zeros(1), i // 100) for i in range(300)])
    assert len(telling_rows(examples, 1000)) == 32
    assert telling_rows(Examples(torch.zeros(2, 1), torch.arange(2)), 8).sort().values.tolist() == [0, 1]


def test_the_extremes_of_a_large_set_are_among_them() -> None:
    """A single target that is ignored, beyond those searched for classes; a mask and a weight unlike others."""
    tokens = torch.zeros(3000, 200, dtype=torch.long)
    tokens[1234, 56] = -100
    mask = torch.ones(3000, 5, dtype=torch.bool)
    mask[77, 2] = False
    weights = torch.rand(3000, 2, generator=torch.Generator().manual_seed(0))
    weights[5], weights[2005] = 0.0, 9.0
    for most in (8, 1000):
        rows = telling_rows(Examples(torch.zeros(3000, 1), (tokens, mask, weights)), most)
        assert {1234, 77, 5, 2005} <= set(rows.tolist())
        assert len(set(rows.tolist())) == len(rows) <= most
