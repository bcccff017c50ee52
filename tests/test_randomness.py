import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.randomness import BatchOrder, generator, global_stream, stream_key

SEEDS = st.integers(0, 2**40)


def test_keys_are_the_same_on_every_machine_and_for_ever() -> None:
    """Changing these numbers changes every stored result: they are part of the format."""
    assert stream_key(0, "order", 0) == 2559165940834366669
    assert stream_key(0, "initialization") == 7886479549359606418
    assert stream_key(7, "forward", 12) == 1950010470384948425


@given(st.lists(st.tuples(SEEDS, st.sampled_from(["order", "forward", "a|1", "a"]), SEEDS), unique=True, max_size=30))
def test_different_streams_have_different_keys(streams: list[tuple[int, str, int]]) -> None:
    keys = {stream_key(*stream) for stream in streams}
    assert len(keys) == len(streams)
    assert all(0 <= key < 2**63 for key in keys)


def test_a_generator_starts_anew_each_time() -> None:
    draw = lambda *stream: torch.rand(5, generator=generator(*stream))  # noqa: E731
    assert torch.equal(draw(1, "x", 2), draw(1, "x", 2))
    others = [draw(2, "x", 2), draw(1, "y", 2), draw(1, "x", 3)]
    assert not any(torch.equal(draw(1, "x", 2), other) for other in others)


def test_a_global_stream_leaves_no_trace_also_after_an_exception() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with global_stream(1, "x"):
        inside = torch.rand(3)
    assert torch.equal(inside, torch.rand(3, generator=generator(1, "x")))
    with pytest.raises(ZeroDivisionError), global_stream(1, "x"):
        1 / torch.rand(3).count_nonzero().sub(3).item()
    assert torch.equal(torch.get_rng_state(), before)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 5))
def test_an_epoch_visits_every_example_at_most_once(examples: int, batch: int, epoch: int) -> None:
    batch = min(batch, examples)
    order = BatchOrder([3], examples, batch)
    per_epoch = examples // batch
    seen = torch.cat([order.indices(epoch * per_epoch + k)[0] for k in range(per_epoch)])
    assert len(seen) == per_epoch * batch == len(seen.unique())
    assert 0 <= int(seen.min()) <= int(seen.max()) < examples


def test_epochs_differ_and_are_the_published_permutations() -> None:
    order = BatchOrder([3], 12, 4)
    for epoch in range(3):
        wanted = torch.randperm(12, generator=generator(3, "order", epoch))
        got = torch.cat([order.indices(3 * epoch + k)[0] for k in range(3)])
        assert torch.equal(got, wanted)
    assert not torch.equal(order.indices(0), order.indices(3))


def test_batches_are_a_function_of_seed_and_step_in_whatever_order_they_are_asked() -> None:
    seeds = [4, 0, 4, 9]
    steps = list(range(20))
    forward = [BatchOrder(seeds, 10, 3).indices(step) for step in steps]
    order = BatchOrder(seeds, 10, 3)
    for step in random.Random(0).sample(steps, 20):
        assert torch.equal(order.indices(step), forward[step])
    for row, seed in enumerate(seeds):
        alone = BatchOrder([seed], 10, 3)
        assert all(torch.equal(alone.indices(step)[0], forward[step][row]) for step in steps)


def test_one_seed_is_one_row_for_all() -> None:
    assert BatchOrder([5, 5, 5], 10, 4).indices(0).shape == (1, 4)
    assert BatchOrder([5, 5, 6], 10, 4).indices(0).shape == (3, 4)


def test_batches_do_not_touch_the_global_generator() -> None:
    before = torch.get_rng_state()
    BatchOrder([0, 1], 10, 2).indices(7)
    assert torch.equal(torch.get_rng_state(), before)
