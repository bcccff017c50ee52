"""One cycle against torch's, rate and momentum, and against optax."""

import jax
import numpy as np
import optax
import pytest
from schedules.values import T, close, torch_values, values
from torch.optim.lr_scheduler import OneCycleLR

from thalweg.errors import UsageError
from thalweg.schedules import OneCycle, OneCycleMomentum


@pytest.mark.parametrize("annihilate", [False, True])
@pytest.mark.parametrize(("anneal", "torchs"), [("cosine", "cos"), ("linear", "linear")])
@pytest.mark.parametrize("rise", [0.3, 0.25, 0.41])
def test_rate_and_momentum_as_torch_has_them(rise: float, anneal: str, torchs: str, annihilate: bool) -> None:
    def build(optimizer: object) -> OneCycleLR:
        return OneCycleLR(
            optimizer,  # type: ignore[arg-type]
            max_lr=1.0,
            total_steps=T,
            pct_start=rise,
            anneal_strategy=torchs,
            three_phase=annihilate,
        )

    momentum = 0.95 * values(OneCycleMomentum(rise, anneal=anneal, annihilate=annihilate))
    close(values(OneCycle(rise, anneal=anneal, annihilate=annihilate)), torch_values(build, T))
    close(momentum, torch_values(build, T, "momentum"))


@pytest.mark.parametrize(("rise", "top"), [(0.3, 30), (0.5, 50)])
def test_as_optax_has_it_on_its_clock_of_one_step_more(rise: float, top: int) -> None:
    with jax.enable_x64(True):
        peer = optax.cosine_onecycle_schedule(T, 1.0, rise)
        wanted = [float(peer(np.float64(step))) for step in range(T + 1)]
    close(values(OneCycle((top + 1) / (T + 1)), T + 1), wanted)


@pytest.mark.parametrize("anneal", ["cosine", "linear"])
@pytest.mark.parametrize("annihilate", [False, True])
def test_ends_peak_and_mirror(anneal: str, annihilate: bool) -> None:
    rate = OneCycle(0.4, 0.1, 0.001, anneal, annihilate)
    momentum = OneCycleMomentum(0.4, 0.5, anneal, annihilate)
    assert [float(rate(t, T)) for t in (1, 40, T, T + 1, 9 * T)] == pytest.approx([0.1, 1, 0.001, 0.001, 0.001])
    assert [float(momentum(t, T)) for t in (1, 40, T, T + 1)] == pytest.approx([1, 0.5, 1, 1])
    rise = values(rate)[:40]
    close((rise - 0.1) / 0.9, (1 - values(momentum)[:40]) / 0.5)
    if annihilate:
        assert float(rate(79, T)) == pytest.approx(0.1)
        close(values(rate)[39:79], rise[::-1])


def test_short_runs_and_members() -> None:
    for steps in (1, 2, 3):
        assert np.isfinite(values(OneCycle(), steps)).all()
    rise, low = np.array([0.1, 0.3, 1.0]), np.array([0.0, 0.1, 0.5])
    for step in (1, 10, 30, 99, 100, 120):
        alone = [float(OneCycle(r, i)(step, T)) for r, i in zip(rise, low, strict=True)]
        close(OneCycle(rise, low)(step, T), alone)


def test_a_rise_shorter_than_a_step_begins_at_its_initial_value() -> None:
    """Torch's begins on its way down there."""
    assert float(OneCycle(0.1)(1, 6)) == OneCycle().initial
    assert float(torch_values(lambda one: OneCycleLR(one, 1.0, total_steps=6, pct_start=0.1), 6)[0]) > 0.9


def test_what_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match=r"rise must be from 0 to 0.5; got 0.6"):
        OneCycle(0.6, annihilate=True)
    with pytest.raises(UsageError, match="OneCycle annihilate must be True or False"):
        OneCycle(annihilate=3)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="OneCycleMomentum anneal is one of cosine, linear; got 'cos'"):
        OneCycleMomentum(anneal="cos")
