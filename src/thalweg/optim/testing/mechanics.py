"""Requirements on every optimizer: what no update rule may depend on."""

from typing import Any

import torch
from torch import Tensor

from thalweg.optim.testing.requirement import (
    Measurement,
    NotApplicable,
    follow,
    near,
    near_as_a_whole,
    random,
    requirement,
    same_bits,
    size_of,
    waves,
)
from thalweg.optim.testing.subject import Shapes, Subject

STEPS = 12
ROUGH = torch.bfloat16
_WIDE = 9_000  # entries for which rules take to kernels


def _elementwise(subject: Subject) -> None:
    if not subject.specification.elementwise:
        msg = "its specification does not say that it is elementwise"
        raise NotApplicable(msg)


def _kept(given: list[tuple[Tensor, Tensor]], gradient: Tensor) -> Tensor:
    """The gradient, which is kept beside a copy."""
    given.append((gradient, gradient.clone()))
    return gradient


@requirement("determinism", "The same start and gradients lead to the same path.")
def determinism(subject: Subject) -> Measurement:
    """Two runs."""
    size = size_of(subject.shapes)
    first, second = (follow(subject, random(size), waves(size), STEPS) for _ in range(2))
    return same_bits(first, second)


@requirement("direction", "A few small steps down a quadratic lower its loss.")
def direction(subject: Subject) -> Measurement:
    """Ten steps at a rate of at most 0.001."""
    size = size_of(subject.shapes)
    curvatures, start = 0.5 + random(size, seed=1).abs(), random(size)
    rate: dict[str, Any] = {"lr": min(1e-3, subject.specification["lr"] or 1e-3)} if subject.knows("lr") else {}
    path = follow(subject, start, lambda point, _: curvatures * point, 10, **rate)
    losses = (curvatures * path**2).sum(1) / 2
    change = float(losses[-1] / losses[0]) - 1
    return Measurement(change < 0, f"the loss changed by {100 * change:+.2g} %", "a change below zero")


@requirement("order", "Entries in another order go the same ways.")
def order(subject: Subject) -> Measurement:
    """A vector and its permutation."""
    _elementwise(subject)
    size, turned = 12, torch.tensor([7, 3, 11, 0, 5, 9, 1, 10, 2, 8, 4, 6])
    start, gradient = random(size), waves(size)
    plain = follow(subject, start, lambda _, step: gradient(start, step), STEPS, [(size,)])
    other = follow(subject, start[turned], lambda _, step: gradient(start, step)[turned], STEPS, [(size,)])
    return near(other, plain[:, turned], 1e-12)


@requirement("splitting", "A tensor cut in two goes the same way.")
def splitting(subject: Subject) -> Measurement:
    """A vector, and the same as two vectors and as a matrix."""
    _elementwise(subject)
    start, gradient = random(12), waves(12)
    plain, *others = (follow(subject, start, gradient, STEPS, shapes) for shapes in ([(12,)], [(5,), (7,)], [(3, 4)]))
    return near(torch.cat(others), torch.cat([plain, plain]), 1e-12)


@requirement("width", "A vector long enough for kernels of its own goes the way of its pieces.")
def width(subject: Subject) -> Measurement:
    """Nine thousand entries at once, and in three runs."""
    _elementwise(subject)
    size = _WIDE
    start, noise = random(size), random(STEPS, size, seed=1)
    whole = follow(subject, start, lambda point, step: point + noise[step - 1], STEPS, [(size,)])[-1]
    parts = [
        follow(subject, part, lambda point, step, drawn=drawn: point + drawn[step - 1], STEPS, [tuple(part.shape)])[-1]
        for part, drawn in zip(start.chunk(3), noise.chunk(3, 1), strict=True)
    ]
    return near_as_a_whole(torch.cat(parts), whole, 1e-12)


@requirement("gradients kept", "Gradient tensors that are handed over are not changed.")
def gradients_kept(subject: Subject) -> Measurement:
    """What was handed over, after the step."""
    if subject.specification.consumes:
        msg = "it declares that gradients are consumed"
        raise NotApplicable(msg)
    size = size_of(subject.shapes)
    run, gradient, given = subject.run(random(size)), waves(size), []
    for step in range(1, 6):
        run.advance(lambda point, step=step: _kept(given, gradient(point, step)))
        changed = sum(int((now != before).sum()) for now, before in given)  # what became NaN is changed, too
        if changed:
            return Measurement(False, f"{changed} entries were other numbers after step {step}", "the same numbers")
    return Measurement(True, "the same numbers", "the same numbers")


@requirement("memory", "The state shares no memory with parameters or with gradients that were handed over.")
def memory(subject: Subject) -> Measurement:
    """Addresses, after three steps."""
    size = size_of(subject.shapes)
    run, gradient, given = subject.run(random(size)), waves(size), []
    for step in range(1, 4):
        run.advance(lambda point, step=step: _kept(given, gradient(point, step)))
    parameters, state = run.memory()
    kept = {tensor.untyped_storage().data_ptr() for tensor in state if tensor.numel()}
    shared = [
        what
        for what, tensors in (("parameters", parameters), ("gradients", [now for now, _ in given]))
        if kept & {tensor.untyped_storage().data_ptr() for tensor in tensors}
    ]
    return Measurement(
        not shared, "shared with " + " and ".join(shared) if shared else "nothing shared", "nothing shared"
    )


def _given(subject: Subject, dtype: torch.dtype, reused: bool, shapes: Shapes | None = None) -> Tensor:
    """The path under large gradients that do not depend on it, in fresh tensors or in one that is overwritten."""
    size = size_of(shapes or subject.shapes)
    run, path = subject.run(torch.zeros(size, dtype=dtype), shapes), []
    tensor = torch.empty(size, dtype=dtype)
    for step in range(1, 9):
        given = (8 * (1 + step % 3) * random(size, seed=50 + step)).to(ROUGH).to(dtype)
        run.advance(lambda _, given=given: tensor.copy_(given) if reused else given.clone())
        tensor.fill_(torch.nan)
        path.append(run.theta)
    return torch.stack(path)


@requirement("reused gradients", "Overwriting a gradient tensor after the step changes nothing.")
def reused_gradients(subject: Subject) -> Measurement:
    """Fresh tensors against one."""
    return same_bits(_given(subject, torch.float64, False), _given(subject, torch.float64, True))


def _rough(subject: Subject, reused: bool, shapes: Shapes | None = None) -> Tensor:
    try:
        return _given(subject, ROUGH, reused, shapes).double()
    except (RuntimeError, NotImplementedError) as error:
        msg = f"it refuses bfloat16 ({str(error).splitlines()[0]})"
        raise NotApplicable(msg) from error


@requirement(
    "reused gradients, bfloat16", "Overwriting a gradient tensor after the step changes nothing in bfloat16 either."
)
def reused_rough_gradients(subject: Subject) -> Measurement:
    """Fresh tensors against one."""
    return same_bits(_rough(subject, False), _rough(subject, True))


@requirement(
    "bfloat16",
    "Parameters and gradients in bfloat16 follow float64 to rounding; where they do not, something kept is overwritten "
    "or lost, as by x.bfloat16(), which copies no tensor that is bfloat16 already.",
)
def bfloat16(subject: Subject) -> Measurement:
    """Eight steps under the same gradients."""
    fine = _given(subject, torch.float64, False)[-1]
    return near_as_a_whole(_rough(subject, False)[-1], fine, subject.specification.share)


@requirement("bfloat16, wide", "In bfloat16 kernels for long vectors follow float64 to rounding, too.")
def wide_bfloat16(subject: Subject) -> Measurement:
    """Eight steps of nine thousand entries."""
    _elementwise(subject)
    shapes = [(_WIDE,)]
    rough, fine = _rough(subject, False, shapes)[-1], _given(subject, torch.float64, False, shapes)[-1]
    return near_as_a_whole(rough, fine, subject.specification.share)


@requirement("resuming", "A new optimizer with the saved state goes on with the same bits.")
def resuming(subject: Subject) -> Measurement:
    """Half of the path twice."""
    size = size_of(subject.shapes)
    run, gradient = subject.run(random(size)), waves(size)
    for step in range(1, STEPS // 2 + 1):
        run.advance(lambda point, step=step: gradient(point, step))
    paths: list[list[Tensor]] = [[], []]
    for other, path in zip((run.resumed(), run), paths, strict=True):
        for step in range(STEPS // 2 + 1, STEPS + 1):
            other.advance(lambda point, step=step: gradient(point, step))
            path.append(other.theta)
    return same_bits(*map(torch.stack, paths))
