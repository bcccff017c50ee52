"""How a requirement is written: a function from a subject to what it measured, with its name and its law."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from thalweg.optim.testing.report import ABSENT, FAILED, PASSED, Outcome
from thalweg.optim.testing.subject import Shapes, Subject

Gradient = Callable[[Tensor, int], Tensor]


@dataclass(frozen=True)
class Measurement:
    """What was measured for a requirement, and whether it is what the law demands."""

    passed: bool
    measured: str
    expected: str


class NotApplicable(Exception):
    """A requirement does not apply to this subject; the text says why."""


@dataclass(frozen=True)
class Requirement:
    """One law that optimizers are tested for.

    Args:
        name: what is tested.
        sentence: the law.
        laws: the families it is for; none means all.
        measure: the test.
    """

    name: str
    sentence: str
    laws: tuple[str, ...]
    measure: Callable[[Subject], Measurement]

    def __call__(self, subject: Subject) -> Outcome:
        """Test a subject; an exception that it raises is a failure."""
        try:
            measurement = self.measure(subject)
        except NotApplicable as reason:
            return Outcome(self.name, ABSENT, str(reason), "", self.sentence)
        except Exception as error:
            return Outcome(self.name, FAILED, f"raised {type(error).__name__}: {error}", "no exception", self.sentence)
        verdict = PASSED if measurement.passed else FAILED
        return Outcome(self.name, verdict, measurement.measured, measurement.expected, self.sentence)


def requirement(name: str, sentence: str, *laws: str) -> Callable[[Callable[[Subject], Measurement]], Requirement]:
    """Make a requirement of a function."""
    return lambda measure: Requirement(name, sentence, laws, measure)


def near(got: Tensor, wanted: Tensor, tolerance: float, what: str = "relative deviation") -> Measurement:
    """Whether entries agree, each to a share of itself."""
    off = (got - wanted).abs() / wanted.abs().clamp_min(torch.finfo(wanted.dtype).tiny)
    return below(float(off.nan_to_num(torch.inf).where(got != wanted, 0).max()), tolerance, what)


def near_as_a_whole(got: Tensor, wanted: Tensor, tolerance: float) -> Measurement:
    """Whether two vectors agree, to a share of the length."""
    off = float((got - wanted).norm() / wanted.norm().clamp_min(torch.finfo(wanted.dtype).tiny))
    return below(off if off == off else torch.inf, tolerance, "relative distance")


def below(value: float, tolerance: float, what: str) -> Measurement:
    """Whether a number is at most its tolerance."""
    return Measurement(value <= tolerance, f"{what} {value:.2g}", f"at most {tolerance:.2g}")


def same_bits(first: Tensor, second: Tensor) -> Measurement:
    """Whether two paths (steps, parameters) are equal bit for bit."""
    differ = (first != second).any(-1).nonzero().flatten()
    if not len(differ):
        return Measurement(True, "the same bits", "the same bits")
    off = float((first - second).abs().max())
    return Measurement(False, f"paths differ from step {int(differ[0])} on, at most by {off:.2g}", "the same bits")


def follow(
    subject: Subject, start: Tensor, gradient: Gradient, steps: int, shapes: Shapes | None = None, **changes: Any
) -> Tensor:
    """The path (steps + 1, parameters) under a gradient of the point and the step, handed over in fresh tensors."""
    run, path = subject.run(start, shapes, **changes), [start.clone()]
    for step in range(1, steps + 1):
        run.advance(lambda point, step=step: gradient(point, step).clone())
        path.append(run.theta)
    return torch.stack(path)


def undecayed(subject: Subject) -> dict[str, float]:
    """The change that takes weight decay away."""
    if subject.knows("weight_decay"):
        return {"weight_decay": 0.0}
    if subject.specification["weight_decay"]:
        msg = "its weight decay cannot be taken away"
        raise NotApplicable(msg)
    return {}


def settable(subject: Subject, **changes: float) -> dict[str, float]:
    """These changes and no weight decay."""
    unknown = [name for name in changes if not subject.knows(name)]
    if unknown:
        msg = f"its {', '.join(unknown)} cannot be set"
        raise NotApplicable(msg)
    return undecayed(subject) | changes


def size_of(shapes: Shapes) -> int:
    """How many parameters tensors of these shapes hold."""
    return sum(torch.Size(shape).numel() for shape in shapes)


def random(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def waves(parameters: int) -> Gradient:
    """The gradient of a bowl with waves, with noise of the step's, each entry on its own."""
    curvatures = 0.1 + random(parameters, seed=1).abs()
    noise = lambda step: 0.5 * random(parameters, seed=1000 + step)  # noqa: E731
    return lambda point, step: curvatures * point + 0.3 * torch.sin(3 * point) + noise(step)
