"""What is built on `train` hands workers on: with them every instrument finds what it finds without, and trains all."""

import ast
import functools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sliced import Shuffled

import thalweg as tw
from thalweg import connectivity, generalization, tickets, tuning
from thalweg.generalization import bias_variance, bounds, double_descent
from thalweg.population import Plan, Population
from thalweg.studies.double_descent.stopping import trained
from thalweg.studies.ntk.modes import followed
from thalweg.studies.ntk.subsets import Sets

LOOPED = Plan("looped", 1)
QUIET = {"progress": None}
DATA = tw.data.digits().subset(train=60, test=30)
RECIPE = tw.Recipe(tw.optim.Momentum(0.1), steps=6, batch_size=20, evaluate=1)
TWO = {"seeds": 2, **QUIET}
FORCED = {**TWO, "plan": LOOPED}


@functools.cache
def problem():
    """Members of it are always looped, so that results with workers are those without to the bit."""
    made = tw.Problem(lambda: tw.nets.mlp(64, 4, 10), DATA)
    made.unstacked = "so that its bits are known"
    return made


@functools.cache
def run():
    return tw.train(problem(), RECIPE, 2, plan=LOOPED, progress=None)


@functools.cache
def found():
    return tickets.search(problem(), RECIPE, rounds=1, keep=0.5, arms=("ticket",), rewind_to=2, **FORCED)


def searched(retrain, **options):
    arms = (*tickets.ARMS[:5], "one-shot, equal cost", "another reinit")
    given = {"rounds": 2, "keep": 0.6, "rewind_to": 2, "arms": arms, "retrain": retrain}
    return tickets.search(problem(), RECIPE, **given, **FORCED, **options)


def fast_ensemble(**options):
    return connectivity.fast_ensemble(problem(), run(), cycles=2, period=2, plan=LOOPED, progress=None, **options)


def memorization(**options):
    return generalization.memorization(
        lambda: tw.nets.mlp(64, 4, 10), DATA, RECIPE, n=20, fractions=(0, 1), **TWO, **options
    )


def over(curve, sizes, **options):
    given = {"n": 30, "steps": 8, "batch_size": 10, "evaluate": 3, "seeds": range(2)}
    return curve(DATA, sizes, **given, **QUIET, **options)


def rules():
    lr = {"lr": tuning.Range(0.01, 1)}
    return {"SGD": (tw.optim.SGD, lr), "momentum": (tw.optim.Momentum, lr)}


def compared(**options):
    given = {"steps": 5, "batch_size": 20, "trials": 2, "tuning_seeds": 1, "scoring_seeds": 2}
    return tuning.compare({"digits": problem()}, rules(), **given, **QUIET, **options)


def instability(**options):
    given = {"at": (0, 0.5), "points": 3, "fresh_schedule": True}
    return connectivity.instability(problem(), RECIPE, **given, **FORCED, **options)


# What finds the same to the bit, as its members are looped, by name: functions of (workers).
EXACT = {
    "compare": compared,
    "range_test": lambda **w: tuning.range_test(problem(), RECIPE, rates=3, **TWO, **w),
    "classic_range_test": lambda **w: tuning.classic_range_test(problem(), RECIPE, **TWO, **w),
    "rate_sensitivity": lambda **w: tuning.rate_sensitivity(problem(), RECIPE, rates=3, **TWO, **w),
    "search": functools.partial(searched, "weights"),
    "search, fine-tuned": functools.partial(searched, RECIPE),
    "critical_sparsity": lambda **w: tickets.critical_sparsity(
        problem(), RECIPE, margin=0.1, tolerance=4, **FORCED, **w
    ),
    "stability": lambda **w: tickets.stability(problem(), found(), points=3, plan=LOOPED, **QUIET, **w),
    "rewinding_map": lambda **w: tickets.rewinding_map(problem(), RECIPE, (0, 2), rounds=1, **FORCED, **w),
    "early_masks": lambda **w: tickets.early_masks(problem(), RECIPE, (0, 2), share=0.5, **FORCED, **w),
    "transfer": lambda **w: tickets.transfer(found(), {"same": problem()}, level=1, plan=LOOPED, **QUIET, **w),
    "fast_ensemble": fast_ensemble,
    "instability": instability,
    "where_am_i": lambda **w: double_descent.where_am_i(problem(), run(), members=2, **QUIET, **w),
    "refit": lambda **w: bias_variance.refit(problem(), RECIPE, sets=3, **QUIET, **w),
    "half_hold_out": lambda **w: bounds.half_hold_out(problem(), RECIPE, **FORCED, **w),
    "half_prior": lambda **w: bounds.half_prior(problem(), RECIPE, sigmas=[0.03], draws=20, **FORCED, **w),
    "lab.train": lambda workers=None: tw.studies.Lab(progress=None, workers=workers).train(problem(), RECIPE, [0, 1]),
}
# What makes its problem itself, and measures how to evaluate it: the same to rounding.
ROUNDED = {
    "memorization": memorization,
    "over_widths": lambda **w: over(double_descent.over_widths, [2, 3], **w),
    "over_depths": lambda **w: over(double_descent.over_depths, [1, 2], **w),
}


def arrays(result):
    """All that a result knows as numbers, by name."""
    if isinstance(result, Population):
        return {"theta": result.theta.numpy()}
    if isinstance(result, tw.Run):
        return {"theta": result.final.theta.numpy(), **result.history.metrics}
    return result.reading.arrays


def with_and_without(instrument, monkeypatch, arrays=arrays):
    """What it finds here, and what workers find for it while nothing can be trained here, array by array."""
    here = arrays(instrument())

    def refuse(*args, **kwargs):
        raise AssertionError("This was to be trained by workers.")

    with monkeypatch.context() as patched:
        patched.setattr(sys.modules["thalweg.training.train"], "Loop", refuse)
        with pytest.raises(AssertionError, match="by workers"):
            tw.train(problem(), RECIPE, 2, progress=None)
        there = arrays(instrument(workers=Shuffled(2)))
    assert here.keys() == there.keys()
    return [(name, np.asarray(values), np.asarray(there[name])) for name, values in here.items()]


@pytest.mark.parametrize("name", EXACT)
def test_workers_find_the_same(name, monkeypatch):
    for array, here, there in with_and_without(EXACT[name], monkeypatch):
        np.testing.assert_array_equal(there, here, err_msg=array)


@pytest.mark.parametrize("name", ROUNDED)
def test_workers_find_the_same_to_rounding(name, monkeypatch):
    for array, here, there in with_and_without(ROUNDED[name], monkeypatch):
        np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-6, err_msg=array)


def test_networks_that_a_study_observes_are_cut(monkeypatch):
    sets, parts = Sets.of([500, 501]), [[], [], []]
    for seed in range(2):
        rows = DATA.split_anew(40, seed=seed, stream="test").train
        for part, those in zip(parts, (slice(0, 20), slice(20, 30), slice(30, 40)), strict=True):
            part.append(rows.select(torch.arange(40)[those]))

    def along(**workers):
        lab = tw.studies.Lab(progress=None, **workers)
        return {
            **vars(followed(lab, sets, "tanh", 8, 1e-3, 6)),
            **vars(trained(lab, problem(), parts, [0, 1], tw.optim.Adam(0.01), 10, "accuracy")),
        }

    for array, here, there in with_and_without(along, monkeypatch, arrays=dict):
        np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-6, err_msg=array)


TRAINING = {
    *("compare", "range_test", "classic_range_test", "rate_sensitivity", "search", "critical_sparsity", "stability"),
    *("rewinding_map", "early_masks", "transfer", "fast_ensemble", "instability", "where_am_i", "refit"),
    *("half_hold_out", "half_prior", "memorization", "over_widths", "over_depths", "train"),
}
ROOMS = {"tickets", "connectivity", "generalization", "tuning", "bounds"}


def trainings(source):
    """The calls in a module by which something of the library trains: (line, keywords)."""
    tree = ast.parse(source)
    own = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    own -= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    from_studies = [
        node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "studies" in (node.module or "")
    ]
    own -= {alias.name for node in from_studies for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            of, name = node.func, ""
            if isinstance(of, ast.Name) and of.id in own:
                name = of.id
            elif isinstance(of, ast.Attribute) and isinstance(of.value, ast.Name) and of.value.id in ROOMS:
                name = of.attr
            if name in TRAINING:
                yield node.lineno, {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}


def test_studies_hand_their_workers_on():
    files = Path(tw.studies.__file__).parent.rglob("*.py")
    calls = [(file.name, *call) for file in files for call in trainings(file.read_text("utf-8"))]
    assert len(calls) > 15
    assert not [call[:2] for call in calls if call[2].get("workers") != "lab.workers"]


def test_what_members_have_of_their_own_has_a_row_for_each():
    observed = tw.training.Observed(lambda step, members, own: own, own=[np.zeros(3)])
    with pytest.raises(tw.UsageError, match=r"own needs a row for each of 2 members; got shape \(3,\)") as raised:
        tw.train(problem(), RECIPE, 2, observe=observed, progress=None)
    assert "after step 0" in raised.value.__notes__[0]
    with pytest.raises(tw.UsageError, match="Observed at must be the steps"):
        tw.training.Observed(lambda step, members: members.theta, at=3)


def test_observed_at_chosen_steps_hears_them_again():
    observed = tw.training.Observed(lambda step, members: members.theta[:, 0], every=2, at=[0, 3, 4])
    tw.train(problem(), RECIPE, 3, observe=observed, progress=None, workers=Shuffled(2))
    assert observed.steps == [0, 4]
    observed.forget(4)
    assert observed.steps == [0]
    assert observed.values.shape == (1, 3)
