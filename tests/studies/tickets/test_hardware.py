"""LTH8 on times that are made up, and its arms against each other: no test looks at a clock."""

import numpy as np
import pytest
import torch
from studies.tickets.times import seconds_of

from thalweg.studies import Lab
from thalweg.studies.tickets import hardware
from thalweg.tickets import Latencies

LAB = Lab("quick", 500, progress=None).on((hardware.CLAIM,))
ARMS = (hardware.DENSE, hardware.COPY, hardware.MASKED, hardware.MULTIPLIED, hardware.SLICED, hardware.CSR)
SIZES = {"90% of the weights at zero": 7.9}


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "WIDTH", 128)


def times(noise: float = 0.02, drift: float = 0.0, **change: float) -> dict[int, Latencies]:
    """Of 20 rounds, at the batch size that is scored."""
    return {256: Latencies.of(ARMS, seconds_of(ARMS, 20, noise, drift, **change))}


def outcomes(taken: dict[int, Latencies]) -> tuple[str, dict[str, str]]:
    verdict = hardware.found(LAB, taken, SIZES).verdict
    return verdict.outcome, {part.part.id: part.outcome for part in verdict.parts}


def test_it_holds_of_times_for_which_it_is_true() -> None:
    whole, parts = outcomes(times())
    assert whole == "holds"
    assert set(parts.values()) == {"holds"}


@pytest.mark.parametrize(
    ("arm", "by", "part"),
    [
        (hardware.SLICED, 1.0, "sliced"),
        (hardware.MASKED, 0.5, "masked"),
        (hardware.MULTIPLIED, 0.8, "mask in the forward pass"),
    ],
)
def test_it_fails_where_slicing_saves_nothing_or_masks_do(arm: str, by: float, part: str) -> None:
    whole, parts = outcomes(times(**{arm: by}))
    assert (whole, parts[part]) == ("fails", "fails")


def test_nothing_is_decided_where_a_copy_of_dense_is_not_as_fast() -> None:
    taken = times(drift=0.2, **{hardware.SLICED: 1.0})
    verdict = hardware.found(LAB, taken, SIZES).verdict
    assert verdict.words == "undecided: 0 of 20 rounds on a quiet machine"
    assert outcomes(times(noise=1.0))[0] == "undecided"
    assert any("too busy" in one for one in hardware.found(LAB, taken, SIZES).sentences)


def test_times_that_decide_nothing_say_how_many_blocks_of_rounds_would() -> None:
    sentences = hardware.found(LAB, times(**{hardware.SLICED: 1 / 3.02}), SIZES).sentences
    assert any("10 blocks of rounds do not decide sliced" in one and "would" in one for one in sentences)
    assert not any("do not decide" in one for one in hardware.found(LAB, times(), SIZES).sentences)


@pytest.mark.usefixtures("narrow")
def test_the_finding_is_of_one_thread_whatever_torch_has(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        monkeypatch.setattr(hardware, "timed", lambda arms, inputs, rounds: times()[256])
        finding = hardware.experiment(LAB)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    (one,) = list(finding)
    assert "1 threads" in one.verdict.numbers["machine"]


def test_times_of_one_law_are_decided_wrongly_in_at_most_a_few_of_many_repeats() -> None:
    """Arms as fast as dense are never three times as fast, and seldom slower."""
    draw, slower = np.random.default_rng(1), 0
    for _ in range(60):
        alike = hardware.speedups(Latencies.of(ARMS[:2], np.exp(0.05 * draw.normal(size=(20, 2)))))[ARMS[1]]
        assert alike.high < 3
        slower += alike.high < 1
    assert slower <= 6


@pytest.mark.usefixtures("narrow")
def test_every_arm_computes_what_it_should() -> None:
    problem, dense, inputs = hardware.wide(500)
    with torch.no_grad():
        arms = hardware.arms_of(problem, dense, hardware.pruned(problem, dense), scored=False)
        x = inputs[:4]
        found = {name: torch.as_tensor(arm(x)) for name, arm in arms.items()}
    assert torch.equal(found[hardware.COPY], found[hardware.DENSE])
    wanted = found[hardware.MASKED]
    for name in (hardware.MULTIPLIED, hardware.CSR, "CSR, 90 %, int64"):
        assert torch.allclose(found[name], wanted, atol=1e-5)
    assert torch.allclose(found["SciPy CSR, 90 %"].T, wanted, atol=1e-5)
    assert not torch.allclose(wanted, found[hardware.DENSE], atol=1e-3)
    assert arms[hardware.SLICED].hidden2.weight.shape == (32, 32)
    assert arms[hardware.CSR].hidden2.weight.col_indices().dtype == torch.int32
    assert arms["CSR, 90 %, int64"].hidden2.weight.col_indices().dtype == torch.int64
    zeros = (arms["CSR, 98 %"].hidden2.weight.values().numel(), 128**2 * 0.02)
    assert zeros[0] == pytest.approx(zeros[1], rel=0.01)


def test_files_are_as_small_as_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "WIDTH", 400)
    problem, dense, _ = hardware.wide(500)
    sizes = list(hardware.sizes_of(hardware.pruned(problem, dense)).values())
    least = [32 * d - (d * np.log2(d) + (1 - d) * np.log2(1 - d)) for d in (0.1, 0.02)]
    assert all(0.8 * 32 / bits < ratio < 32 / bits for ratio, bits in zip(sizes, least, strict=True))
