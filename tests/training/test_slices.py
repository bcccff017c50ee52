"""A run cut into slices is the run of one process, to the bit."""

import itertools

import numpy as np
import pytest
import torch
from cases import CASES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sliced import Shuffled
from sliced_runs import RECIPE, X, Y, assert_same, problem

import thalweg as tw
from thalweg import optim, sweep
from thalweg.errors import UsageError
from thalweg.optim import RULES
from thalweg.population import Plan
from thalweg.randomness import generator
from thalweg.training.cutting import cuts
from thalweg.workers import Here

DRAW = generator(0, "test slices")
LOOPED = Plan("looped", 1)


def assert_as_whole(where, recipe, seeds, *, slices=3, plan="auto", **options):
    apart = tw.train(where, recipe, seeds, plan=plan, workers=Shuffled(slices), **options)
    assert_same(apart, tw.train(where, recipe, seeds, plan=apart.plans, **options))
    return apart


@pytest.mark.parametrize("plan", ["looped", "stacked"])
@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule(name, plan):
    rule = RULES[name](lr=sweep.values([0.01, 0.05]))
    recipe = tw.Recipe(rule, 12, 8, schedule=tw.schedules.Cosine(warmup=3), evaluate=4, snapshot=3, snapshot_state=True)
    assert_as_whole(problem(), recipe, 18, plan=plan)


@pytest.mark.parametrize("plan", ["looped", "auto"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_model(case, plan):
    recipe = tw.Recipe(optim.AdamW(sweep.values([0.01, 0.05])), 6, 7, evaluate=2, snapshot=2)
    assert_as_whole(case.problem(), recipe, 4, plan=plan)


@pytest.mark.parametrize("plan", ["looped", "stacked", Plan("stacked", 3)], ids=str)
def test_several_batch_sizes(plan):
    recipe = tw.Recipe(optim.Adam(0.01), 10, sweep.values([4, 16, 8]), evaluate=5)
    assert_as_whole(problem(), recipe, 5, plan=plan)


@pytest.mark.parametrize("plan", ["looped", "stacked", Plan("stacked", 3)], ids=str)
def test_arms_that_begin_at_different_steps(plan):
    where = problem()
    recipe = tw.Recipe(optim.Adam(0.02), 12, 8, evaluate=4, snapshot=(2, 5, 9), snapshot_state=True)
    first = tw.train(where, recipe, 4, plan=LOOPED)
    starts = {"late": first.at(9), "here": None, "early": first.at(2)}
    assert_as_whole(where, recipe, 4, plan=plan, start=starts, paired=True, slices=5)


def test_masks_and_clipping():
    where = problem()
    mask = torch.rand(where.layout.parameters, generator=generator(1, "mask")) < 0.4
    recipe = tw.Recipe(optim.AdamW(0.05), 10, 8, clip_norm=sweep.values([0.01, 1.0]), evaluate=5)
    assert_as_whole(where, recipe, 4, mask={"ticket": mask, "dense": None})


def test_examples_of_their_own():
    rows = torch.stack([torch.randperm(48, generator=generator(seed, "rows"))[:24] for seed in (0, 1)])
    assert_as_whole(problem(), RECIPE, [5, 5, 5, 6, 6, 6], examples=rows[[0, 0, 0, 1, 1, 1]])


def test_one_batch_for_all_members_stays_one():
    assert_as_whole(problem(), tw.Recipe(optim.SGD(sweep.log(0.01, 1, 8)), 10, 8), [3], plan="stacked")


def test_members_of_one_seed_in_a_slice_keep_batches_of_their_own():
    rows = torch.arange(48).repeat(4, 1)
    assert_as_whole(problem(), tw.Recipe(optim.SGD(0.1), 10, 8), [3, 3, 4, 4], plan="stacked", examples=rows, slices=2)


def test_members_that_diverge():
    recipe = tw.Recipe(optim.SGD(sweep.log(0.1, 1e20, 9)), 20, 8, evaluate=4)
    where = tw.Problem(lambda: tw.nets.mlp(6, 5, 3), (X, torch.randn(48, 3, generator=DRAW)), "squared_error")
    run = assert_as_whole(where, recipe, 2)
    assert (run.diverged_at >= 0).any()
    assert (run.diverged_at < 0).any()


def test_dropout_and_streams():
    model = lambda: torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3))  # noqa: E731
    assert_as_whole(tw.Problem(model, (X, Y)), RECIPE, 3)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_cut(data):
    members, slices = data.draw(st.integers(2, 20), "members"), data.draw(st.integers(1, 6), "slices")
    plan = data.draw(st.sampled_from(["looped", "stacked", Plan("stacked", 3), Plan("stacked", 7)]), "plan")
    batch = data.draw(st.sampled_from([None, 5, 48]), "batch")
    recipe = tw.Recipe(optim.Adam(0.05), 5, batch, evaluate=(0, 3, 5), snapshot=(2,), snapshot_state=True)
    assert_as_whole(problem(), recipe, members, slices=min(slices, members), plan=plan)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=40),
    st.integers(1, 8),
    st.sets(st.integers(0, 40)),
    st.booleans(),
    st.booleans(),
)
def test_cuts_leave_no_row_of_a_chunk_alone(weights, slices, edges, whole, aligned):
    members = len(weights)
    edges = {edge for edge in edges if edge <= members} | {0, members}
    rows = cuts(weights, slices, edges=edges, whole=whole, aligned=aligned)
    assert rows[0] == 0
    assert rows[-1] == members
    assert rows == sorted(set(rows))
    assert len(rows) - 1 <= slices
    if not whole:
        assert members == 1 or min(np.diff(rows)) > 1
        every = sorted({*edges, *rows})
        assert all({a, b} <= edges for a, b in itertools.pairwise(every) if b - a == 1)
    if aligned:
        assert all(row % 16 == 0 for row in rows[:-1])


def test_equal_work_and_not_equal_counts():
    where = problem()
    recipe = tw.Recipe(optim.SGD(0.1), 3, sweep.values([32, 4]))
    seen = []

    class Seen(Shuffled):
        def map(self, work, items, heard):
            seen.extend(len(item.part) for item in items)
            return super().map(work, items, heard)

    tw.train(where, recipe, 12, workers=Seen(2), plan="looped")
    assert seen == [7, 17]  # 7 x 32 = 224 against 5 x 32 + 12 x 4 = 208 examples a step


def test_until_and_resume_in_memory():
    where = problem()
    half = tw.train(where, RECIPE, 4, until=5, workers=Shuffled(3))
    whole = tw.train(where, RECIPE, 4, plan=half.plans)
    for workers in (None, Here(), Shuffled(2), Shuffled(4)):
        assert_same(tw.train(where, RECIPE, 4, resume=half, workers=workers), whole)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"workers": 2}, r"train workers must be workers such as workers.Processes\(2\), or None; got 2"),
        ({"workers": Here(9)}, "The run has 4 members, which cannot be cut into 9 slices; write slices=4, or fewer"),
        ({"workers": Here(2), "observe": print}, "observes all members at once.*such as curvature.Tracker"),
    ],
)
def test_bad_workers(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        tw.train(problem(), tw.Recipe(optim.SGD(0.1), 3, 8), 4, **options)


def test_progress_is_of_the_whole_run():
    told = []
    tw.train(problem(), RECIPE, 4, workers=Shuffled(2), progress=told.append)
    done = [one.done for one in told]
    assert done == sorted(done)
    assert (done[-1], told[-1].total) == (12, 12)
    assert np.unique([one.label for one in told]).tolist() == ["training"]


def test_what_is_observed_is_cut_and_merged():
    norms, whole = (tw.training.Observed(lambda step, members: members.theta.norm(dim=1), every=3) for _ in range(2))
    run = tw.train(problem(), RECIPE, 5, workers=Shuffled(3), observe=norms)
    tw.train(problem(), RECIPE, 5, plan=run.plans, observe=whole)
    assert norms.steps == whole.steps == [0, 3, 6, 9, 12]
    np.testing.assert_array_equal(norms.values, whole.values)


def test_a_tracker_is_cut_and_merged():
    cut, whole = (tw.curvature.Tracker(problem(dtype=torch.float64), every=4) for _ in range(2))
    run = tw.train(cut.problem, RECIPE, 5, workers=Shuffled(3), observe=cut, until=8)
    tw.train(cut.problem, RECIPE, 5, workers=Shuffled(2), observe=cut, resume=run)
    tw.train(whole.problem, RECIPE, 5, plan=run.plans, observe=whole)
    assert cut.reading.coordinates["step"].tolist() == [0, 4, 8, 12]
    np.testing.assert_allclose(cut["largest eigenvalue"], whole["largest eigenvalue"], rtol=1e-5)
    np.testing.assert_array_equal(cut.converged, whole.converged)
    assert cut.reading.cost.hvps > 0
