"""Planted nulls of SIM5: networks without the interaction, and signals in which there is no symmetry."""

import numpy as np
import pytest
import torch

from thalweg.data import Data
from thalweg.generalization.simplicity import rolls, symmetry
from thalweg.population import Problem
from thalweg.studies import Lab
from thalweg.studies.simplicity import symmetries
from thalweg.studies.simplicity.symmetries import (
    GAIN,
    INTERACTION,
    NULL,
    PERCEPTRON,
    POOLED,
    PULSE,
    SHIFT,
    SHUFFLED,
    TRUE,
    Accuracies,
    Signals,
)

LAB = Lab("quick", 500, progress=None)
RULES = {part.id: part.rule for part in symmetries.CLAIM.parts}


def outcomes(found: dict[str, Accuracies]) -> dict[str, str]:
    return {name: RULES[name].judge(one.low, one.high) for name, one in symmetries.judged(found).items()}


def planted(true: float, shuffled: float, placed: float, drop: float) -> dict[str, Accuracies]:
    """A convnet that is better by so much on each kind, and an MLP that loses so much by the largest shift."""
    draw = np.random.default_rng(0)

    def accuracies(*levels: float, lost: float) -> Accuracies:
        fall = np.linspace(0, lost, 5)
        return Accuracies(
            {
                kind: level - fall + draw.normal(size=(6, 5))
                for kind, level in zip((TRUE, SHUFFLED, PULSE), levels, strict=True)
            },
            {},
        )

    return {
        PERCEPTRON: accuracies(45, 45, 95, lost=drop),
        POOLED: accuracies(45 + true, 45 + shuffled, 95 + placed, lost=0),
    }


def test_better_on_everything_is_no_symmetry() -> None:
    assert {outcomes(planted(25, 0, -85, 20))[name] for name in (SHIFT, GAIN, INTERACTION, NULL)} == {"holds"}
    anywhere = outcomes(planted(25, 25, 0, 20))
    assert anywhere[GAIN] == "holds"
    assert anywhere[INTERACTION] == anywhere[NULL] == "fails"
    assert set(outcomes(planted(0, 0, 0, 0)).values()) == {"fails", "undecided"}
    assert outcomes(planted(0, 0, 0, 0))[SHIFT] == "fails"


def test_the_mean_over_places_is_invariant_before_training_and_places_themselves_are_not() -> None:
    given = symmetries.signals([500_000])
    shifts = rolls(symmetries.SHIFTS)
    errors = {}
    for mean in (True, False):
        problem = Problem(lambda mean=mean: symmetries.convnet(mean=mean), Data(given.train[TRUE][0], classes=10))
        found = symmetry(problem, problem.initialize(2), shifts, on=given.test[TRUE][0].select(torch.arange(100)))
        errors[mean] = found["equivariance error"][:, 1:]
    assert errors[True].max() < 1e-4
    assert errors[False].min() > 0.05


def test_pulses_are_places_and_nothing_else() -> None:
    draw = torch.Generator().manual_seed(0)
    clean = symmetries.pulses(200, draw, noise=0.0)
    order = clean.targets.argsort()
    first = clean.inputs[order[0]]
    for row in order.tolist():
        shift = 4 * int(clean.targets[row] - clean.targets[order[0]])
        assert torch.allclose(clean.inputs[row], first.roll(shift))
    noisy = symmetries.pulses(2_000, draw)
    bumps = torch.stack([clean.inputs[(clean.targets == label).nonzero()[0, 0]] for label in range(10)])
    right = (noisy.inputs @ bumps.T).argmax(1) == noisy.targets
    assert float(right.float().mean()) > 0.98


def test_shuffled_signals_are_the_same_numbers_in_an_order_of_each_seed() -> None:
    given = symmetries.signals([500_000, 500_001])
    for order, true, shuffled in zip(given.orders, given.train[TRUE], given.train[SHUFFLED], strict=True):
        assert torch.equal(order(true.inputs), shuffled.inputs)
        assert not torch.equal(true.inputs, shuffled.inputs)
        assert torch.equal(true.targets, shuffled.targets)
    places = torch.arange(symmetries.LENGTH)[None]
    first, second = (order(places) for order in given.orders)
    assert not torch.equal(first, second)
    trained, held = given.train[TRUE][0].inputs, given.test[TRUE][0].inputs
    assert not (trained[:, None] == held[None, :50]).all(2).any()


def test_each_network_is_tested_in_the_order_of_its_own_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetries, "STEPS", 1)
    monkeypatch.setattr(symmetries, "SHIFTS", (0, 20))
    seen = []
    whole = symmetries.symmetry

    def recorded(problem, population, moves, *, on):
        seen.append(moves[0](torch.arange(symmetries.LENGTH)[None]))
        return whole(problem, population, moves, on=on)

    monkeypatch.setattr(symmetries, "symmetry", recorded)
    seeds = [500_000, 500_001]
    given = symmetries.signals(seeds)
    symmetries.trained(LAB, symmetries.NETS[1], given, seeds)
    places = torch.arange(symmetries.LENGTH)[None]
    expected = [places, places, *(order(places) for order in given.orders), places, places]
    assert all(torch.equal(one, other) for one, other in zip(seen, expected, strict=True))


def test_where_places_are_labels_throughout_nothing_is_gained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symmetries, "STEPS", 60)
    monkeypatch.setattr(symmetries, "SHIFTS", (0, 20))
    seeds = [0, 1, 2]
    pulses = symmetries.signals(seeds)
    kinds = (TRUE, SHUFFLED, PULSE)
    train = {kind: pulses.train[PULSE] for kind in kinds}
    few = [one.select(torch.arange(500)) for one in pulses.test[PULSE]]
    given = Signals(train, dict.fromkeys(kinds, few), pulses.orders)
    found = {net.name: symmetries.trained(LAB, net, given, seeds) for net in symmetries.NETS}
    parts = outcomes(found)
    assert parts[GAIN] == "fails"
    assert parts[INTERACTION] != "holds"
    assert parts[NULL] == "holds"
    assert np.abs(found[POOLED].test[TRUE][:, 0] - 10).max() < 6
