"""LTH7 does not hold where there is nothing to learn, and is what planted losses say."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.studies import Lab
from thalweg.studies.tickets import transformer
from thalweg.tickets import RewindingMap

LAB = Lab("full", 500, progress=None).on((transformer.CLAIM,))
TEXT = "made up"


def noise(lab: Lab, depth: int, held_out: int, *, width: int, heads: int) -> tw.Problem:
    """Random tokens, of which no model can say the next."""
    tokens = torch.randint(0, 5, (120, 7), generator=torch.Generator().manual_seed(lab.seed))
    parts = [tw.data.Examples(one[:, :-1].contiguous(), one[:, 1:].contiguous()) for one in tokens.split(60)]
    data = tw.data.Data(parts[0], parts[1], "noise", 5, notes=(TEXT,))
    return tw.Problem(lambda: tw.nets.transformer(5, 6, 8, 2, 1), data)


@pytest.fixture(scope="module")
def maps() -> dict[str, RewindingMap]:
    """Of the experiment on noise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transformer, "language_model", noise)
        seeds = LAB.seeds(quick=2, full=5).scored
        recipe = transformer.recipe_of(20)
        return {
            "with warmup": transformer.chains(LAB, recipe, seeds, 3, shuffled=True),
            "no warmup": transformer.chains(LAB, recipe, seeds, transformer.LEVEL, shuffled=False),
        }


def planted(found: RewindingMap, gain: float, masks: float = 0.1) -> RewindingMap:
    """The same, with what late rewinding and unshuffled masks gain."""
    rng, shape = np.random.default_rng(0), found["test_loss"].shape
    noise = 0.003 * rng.normal(size=shape)
    table = 2.0 + noise + np.array([gain, 0.0])[:, None, None]
    arrays = dict(found.reading.arrays) | {"test_loss": table}
    if "shuffled" in arrays:
        arrays["shuffled"] = table + masks + 0.003 * rng.normal(size=shape)
    reading = replace(found.reading, arrays=arrays)
    dense = replace(found.dense, recipe=transformer.recipe_of(transformer.STEPS))
    return replace(found, reading=reading, dense=dense)


def test_late_rewinding_is_not_needed_where_there_is_nothing_to_learn(maps: dict[str, RewindingMap]) -> None:
    finding = transformer.found(LAB, maps, TEXT)
    assert finding.verdict.weakest.outcome != "holds"
    assert finding.verdict.shortfall == "20 of 400 steps"
    assert finding.verdict.outcome == "undecided"
    assert len(finding.figures[0].panels) == 2
    assert finding.verdict.numbers["text"] == TEXT


def test_attention_and_mlp_are_pruned_and_nothing_else(maps: dict[str, RewindingMap]) -> None:
    main = maps["with warmup"]
    layout, mask = main.dense.final.layout, main.masks[0][-1]
    pruned = {entry.name.split(".")[-2] for entry in layout if not bool(mask[:, entry.columns].all())}
    assert pruned == {"query", "key", "value", "projection", "expand", "contract"}
    assert main.reading.coordinate("density") == pytest.approx([0.4, 0.16, 0.064], rel=0.03)
    assert main.steps == [0, 2]


@pytest.mark.parametrize(
    ("gain", "outcome", "reason"),
    [
        (0.05, "holds", ""),
        (0.01, "fails", "too small to matter"),
        (-0.05, "fails", "opposite"),
        (0.02, "undecided", ""),
    ],
)
def test_the_verdict_is_that_of_planted_losses(
    maps: dict[str, RewindingMap], gain: float, outcome: str, reason: str
) -> None:
    finding = transformer.found(LAB, {name: planted(one, gain) for name, one in maps.items()}, TEXT)
    verdict = finding.verdict
    assert any("do not decide LTH7" in one for one in finding.sentences) == (outcome == "undecided")
    assert (verdict.outcome, verdict.weakest.failure) == (outcome, reason)
    judged = {one.part.id: one.outcome for one in verdict.parts}
    assert judged[transformer.MASK] == "holds"
    assert judged[transformer.WITHOUT] == outcome


def test_masks_that_do_not_matter_are_said(maps: dict[str, RewindingMap]) -> None:
    verdict = transformer.found(LAB, {"with warmup": planted(maps["with warmup"], 0.05, -0.01)}, TEXT).verdict
    assert {one.part.id: one.outcome for one in verdict.parts}[transformer.MASK] == "fails"


def test_what_may_be_pruned_are_24_576_weights_and_the_text_has_its_hash() -> None:
    problem = transformer.language_model(LAB, transformer.DEPTH, 100, width=transformer.WIDTH, heads=transformer.HEADS)
    assert int(transformer.POLICY.columns(problem.layout).sum()) == 24_576
    assert "sha256" in problem.data.notes[0]
