"""Whether two ways to compute the same thing agree: tensor by tensor, each on its own scale, beside its own rounding.

Kernels sum in other orders, so results differ by rounding; how much depends on the model. A gradient that is zero by a
symmetry is nothing but rounding, and a ReLU whose input is zero to rounding may open in one way and not in the other.
So what is beyond the dtype's tolerance is compared with how far the plain results move themselves where parameters and
inputs move by a few units in the last place: by more than that is no rounding.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Named = Mapping[str, Tensor]  # results by name, members in front
_MOVES = (16.0, 32.0, 64.0)  # units in the last place by which parameters and inputs are moved, in turns;
_COARSE, _MOVES_OF_COARSE = 1e-4, (1.0, 2.0, 4.0)  # of dtypes with larger units, whose sums torch takes in finer ones
_DRAWS = 12  # of moves: an open ReLU that rounding may close is closed by half of them
_BEYOND = 4  # times as far as the plain results move


@dataclass(frozen=True)
class Difference:
    """Two results that are further apart than the tolerance of their dtype.

    >>> from thalweg.population.agreement import Difference
    >>> print(Difference("the gradient of 'weight'", 0.17, "wrong"))
    17% of the largest entry of the gradient of 'weight'

    Args:
        name: of the tensor that is furthest off.
        share: the largest difference as a share of the largest entry of that tensor.
        kind: "wrong", "rounding", or "restless" where a second call of the plain module gives something else.
    """

    name: str
    share: float
    kind: str

    @property
    def rounding(self) -> bool:
        """Whether the results move as far themselves where parameters and inputs are rounded."""
        return self.kind == "rounding"

    def __str__(self) -> str:
        return f"{self.share:.2g} times the largest entry of {self.name}" if self.share > 1 else self._percent()

    def _percent(self) -> str:
        return f"{100 * self.share:.2g}% of the largest entry of {self.name}"


def tolerance(dtype: torch.dtype) -> float:
    """The share of a tensor's largest entry that needs no further look: epsilon^(2/3).

    >>> import torch
    >>> from thalweg.population.agreement import tolerance
    >>> f"{tolerance(torch.float32):.1e}, {tolerance(torch.float64):.1e}"
    '2.4e-05, 3.7e-11'
    """
    return torch.finfo(dtype).eps ** (2 / 3)


def compare(found: Named, wanted: Named, again: Callable[[float, int], Named], dtype: torch.dtype) -> Difference | None:
    """How the results differ; None where they are equal to the tolerance of the dtype.

    None also where what differs is rounding, and within the tolerance of the largest entry of its kind (gradients by
    name are of one kind): the gradient of a bias before a normalization, which is zero.

    >>> import torch
    >>> from thalweg.population.agreement import compare
    >>> def plain(size, draw):
    ...     moved = 1 + size * torch.randn((), generator=torch.Generator().manual_seed(draw), dtype=torch.float64)
    ...     return {"gradient": torch.tensor([[1.0, 2.0]], dtype=torch.float64) * moved}
    >>> off = {"gradient": torch.tensor([[1.0, 2.5]], dtype=torch.float64)}
    >>> compare(off, plain(0, 0), plain, torch.float64)
    Difference(name='gradient', share=0.2, kind='wrong')
    >>> compare(plain(1e-14, 3), plain(0, 0), plain, torch.float64) is None
    True

    Args:
        found: what is judged, by name: (members, ...) each. Of a member whose "loss" is not finite in both nothing else
            is compared.
        wanted: what the plain module gave.
        again: (size, draw) -> what it gives where parameters and inputs are moved by such a share, at random by draw.
        dtype: the coarsest in which they were computed (`Problem.precision`).

    Cost: a comparison; where something is beyond the tolerance, one to thirteen calls of `again`.
    """
    limit = tolerance(dtype)
    if all(_near(found[name], tensor, limit) for name, tensor in wanted.items()):
        return None
    apart = {name: _apart(found, wanted, name) for name in wanted}
    far = {name: share for name, (_, share) in apart.items() if bool((share > limit).any())}
    if not far:
        return None
    # What is zero but for rounding is far from itself, and nothing beside the tensors of its kind.
    beside = {name: _beside(apart[name][0], wanted, name) for name in far}
    worst = max(far, key=lambda name: (beside[name] > limit, float(far[name].max())))
    if beside[worst] > limit:
        still = _apart(again(0.0, 0), wanted, worst)[1]
        if bool((still > limit).any()):
            return Difference(worst, float(still.max()), "restless")
    moves, wrong = {name: torch.zeros_like(share) for name, share in far.items()}, {worst: 0.0}
    unit = torch.finfo(dtype).eps
    sizes = [unit * move for move in (_MOVES_OF_COARSE if unit > _COARSE else _MOVES)]
    for draw in range(_DRAWS):
        there = again(sizes[draw % len(sizes)], draw)
        for name, so_far in moves.items():
            torch.maximum(so_far, _apart(there, wanted, name)[0], out=so_far)
        beyond = {name: (share > limit) & (apart[name][0] > _BEYOND * moves[name]) for name, share in far.items()}
        wrong = {name: float(far[name][members].max()) for name, members in beyond.items() if bool(members.any())}
        if not wrong:
            seen = Difference(worst, float(far[worst].max()), "rounding")
            return seen if beside[worst] > limit else None
    name = max(wrong, key=wrong.__getitem__)
    return Difference(name, wrong[name], "wrong")


def _beside(distance: Tensor, wanted: Named, name: str) -> float:
    """A distance (members,) as a share of the largest entry of all tensors of its kind, such as of all gradients."""
    kind = name.partition("'")[0]
    alike = [tensor for other, tensor in wanted.items() if other.partition("'")[0] == kind and tensor.numel()]
    rows = [tensor.detach().double().reshape(len(tensor), -1).nan_to_num(0, 0, 0).abs().amax(1) for tensor in alike]
    return float((distance / torch.stack(rows).amax(0)).nan_to_num(torch.inf, torch.inf).max())


def _near(one: Tensor, other: Tensor, limit: float) -> bool:
    """Whether every member is within the limit, at the cost of two passes; what is not finite is looked at again."""
    if not one.is_floating_point() or not one.numel():
        return torch.equal(one, other)
    members, one, other = len(one), one.detach(), other.detach()
    distance, scale = ((one - other).reshape(members, -1).abs().amax(1), other.reshape(members, -1).abs().amax(1))
    return bool((distance <= limit * scale).all()) and math.isfinite(float(scale.sum()))


def _apart(found: Named, wanted: Named, name: str) -> tuple[Tensor, Tensor]:
    """The largest difference of a tensor for each member, and as a share of its largest entry: (members,) each."""
    members = len(wanted[name])
    if not wanted[name].numel():
        return torch.zeros(members, dtype=torch.float64), torch.zeros(members, dtype=torch.float64)
    one, other = (results[name].detach().double().reshape(members, -1) for results in (found, wanted))
    known, too = one.isfinite(), other.isfinite()
    # Where one way overflows the other is near it.
    near = (known | ~too) & (too | ~known) | (torch.where(known, one, other).abs() > _near_overflow(found[name].dtype))
    distance = torch.where(known & too, (one - other).abs(), torch.where(near, 0.0, torch.inf)).amax(1)
    if name != "loss" and "loss" in wanted:
        lost = ~(found["loss"].isfinite() | wanted["loss"].isfinite())
        distance = distance.masked_fill(lost.flatten(), 0)
    scale = torch.maximum(one.where(known, 0.0).abs().amax(1), other.where(too, 0.0).abs().amax(1))
    return distance, torch.where(distance == 0, 0.0, distance / scale)


def _near_overflow(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).max ** 0.75 if dtype.is_floating_point else torch.inf
