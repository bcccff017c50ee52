"""Every kind of operation for which there is a rule is met once: it is known, and groups leave the function."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from population.architectures import randomized
from torch import Tensor, nn

from thalweg.population import Population, Structure
from thalweg.population.structure.structure import RULES
from thalweg.randomness import generator

A = torch.ops.aten


def _images(h: Tensor, count: int) -> Tensor:
    """Three channels of 4 positions in that many dimensions."""
    return h.view(-1, 3, 4) if count == 1 else h.view(-1, 3, *[1] * (count - 2), 2, 2).repeat(1, 1, *[2] * count)


# what is done to h and b, both (batch, 12); a kind that is not here takes one, two or three tensors, as it can
FIRST = ("cummax", "cummin", "sort")  # they give places too
ALONG = ("softmax", "log_softmax", "cumsum", "cumprod", "logcumsumexp", "argsort", "argmax", "argmin")
LISTS = ("flip", "amax", "amin", "logsumexp", "mean", "sum", "nansum", "nanmean", "std", "var", "count_nonzero")
CALLS: dict[str, Callable[[Any, Tensor, Tensor], Any]] = {
    **{kind: lambda m, h, b, kind=kind: getattr(A, kind)(h, 1) for kind in ALONG},
    **{kind: lambda m, h, b, kind=kind: getattr(A, kind)(h, 1)[0] for kind in FIRST},
    **{kind: lambda m, h, b, kind=kind: getattr(A, kind)(h, [1]) for kind in LISTS},
    **{
        f"{kind}{count}d": lambda m, h, b, kind=kind, count=count: getattr(F, f"{kind}{count}d")(_images(h, count), 2)
        for kind in ("avg_pool", "max_pool", "adaptive_avg_pool", "adaptive_max_pool") for count in (1, 2, 3)
    },
    **{
        f"max_pool{count}d_with_indices": lambda m, h, b, count=count: getattr(F, f"max_pool{count}d")(
            _images(h, count), 2, return_indices=True
        )[0]
        for count in (1, 2, 3)
    },
    **{
        f"conv{kind}{count}d": lambda m, h, b, kind=kind, count=count: getattr(F, f"conv{kind}{count}d")(
            _images(h, count), m.w[:, :3].reshape(12, 3, *[1] * count)[:3]
        )
        for kind in ("", "_transpose") for count in (1, 2, 3)
    },
    **{
        f"upsample_{kind}{count}d": lambda m, h, b, kind=kind, count=count: F.interpolate(
            _images(h, count), scale_factor=2, mode="nearest" if kind == "nearest" else kind
        )
        for kind, count in (
            ("nearest", 1), ("nearest", 2), ("nearest", 3), ("linear", 1), ("bilinear", 2), ("bicubic", 2),
            ("trilinear", 3),
        )
    },
    **{kind: lambda m, h, b, kind=kind: h * getattr(A, kind)([4, 12]) for kind in ("ones", "zeros")},
    **{kind: lambda m, h, b, kind=kind: h * getattr(h, kind)(4, 12) for kind in ("new_ones", "new_zeros")},
    "empty": lambda m, h, b: A.empty([4, 12]).fill_(1) * h,
    "new_empty": lambda m, h, b: h.new_empty(4, 12).fill_(1) * h,
    "empty_like": lambda m, h, b: torch.empty_like(h).fill_(1) * h,
    "full": lambda m, h, b: torch.full((4, 12), 0.5) * h,
    "new_full": lambda m, h, b: h.new_full((4, 12), 0.5) * h,
    "full_like": lambda m, h, b: torch.full_like(h, 0.5) * h,
    "scalar_tensor": lambda m, h, b: torch.scalar_tensor(0.5) * h,
    "linalg_norm": lambda m, h, b: torch.linalg.norm(h, dim=1),
    "linalg_vector_norm": lambda m, h, b: torch.linalg.vector_norm(h, dim=1),
    "clamp": lambda m, h, b: h.clamp(0.1, 0.9),
    "clamp_max": lambda m, h, b: A.clamp_max(h, 0.5),
    "clamp_min": lambda m, h, b: A.clamp_min(h, 0.5),
    "lerp": lambda m, h, b: torch.lerp(h, b, 0.5),
    "_weight_norm": lambda m, h, b: h @ torch._weight_norm(m.w, m.v[:, None]),
    "prod": lambda m, h, b: h.prod(1),
    "batch_norm": lambda m, h, b: F.batch_norm(h, m.v.detach(), m.v.detach().exp(), m.v),
    "bilinear": lambda m, h, b: F.bilinear(h, b, m.w[None]),
    "embedding": lambda m, h, b: F.embedding(torch.arange(4), m.w) * h,
    "index": lambda m, h, b: h[:, torch.tensor([2, 1])],
    "broadcast_to": lambda m, h, b: torch.broadcast_to(h[:, None], (4, 2, 12)),
    "concat": lambda m, h, b: A.concat([h, b], 1),
    "concatenate": lambda m, h, b: A.concatenate([h, b], 1),
    "hsplit": lambda m, h, b: A.hsplit(h, 2)[0],
    "vsplit": lambda m, h, b: A.vsplit(h, 2)[0].repeat(2, 1),
    "tensor_split": lambda m, h, b: A.tensor_split(h, 2, 1)[0],
    "view_as_complex": lambda m, h, b: torch.view_as_complex(h.view(-1, 6, 2)).abs(),
    "view_as_real": lambda m, h, b: torch.view_as_real(torch.view_as_complex(h.view(-1, 6, 2))),
    **{
        kind: lambda m, h, b, kind=kind: getattr(A, kind)((h * 9).int(), (b * 9).int())
        for kind in ("bitwise_and", "bitwise_or")
    },
    **{
        kind: lambda m, h, b, kind=kind: getattr(A, kind)(h, 0.2, False)
        for kind in ("alpha_dropout", "dropout", "feature_dropout", "feature_alpha_dropout")
    },
    "bitwise_not": lambda m, h, b: A.bitwise_not((h * 9).int()),
    "fill": lambda m, h, b: A.fill(h, 0.5),
    "threshold": lambda m, h, b: A.threshold(h, 0.1, 0.2),
    "masked_fill": lambda m, h, b: h.masked_fill(h > 0.5, 0.1),
    "where": lambda m, h, b: torch.where(h > 0.5, h, b),
    "to": lambda m, h, b: h.to(torch.float32),
    "lift_fresh_copy": lambda m, h, b: A.lift_fresh_copy(h),
    "norm": lambda m, h, b: A.norm(h, 2, [1]),
    "all": lambda m, h, b: (h > 0.5).all(1),
    "any": lambda m, h, b: (h > 0.5).any(1),
    "diff": lambda m, h, b: h.diff(dim=1),
    "roll": lambda m, h, b: h.roll(1, 1),
    "kthvalue": lambda m, h, b: h.kthvalue(2, 1)[0],
    "median": lambda m, h, b: h.median(1)[0],
    "mode": lambda m, h, b: h.mode(1)[0],
    "topk": lambda m, h, b: h.topk(2, 1)[0],
    "max": lambda m, h, b: h.max(1)[0],
    "min": lambda m, h, b: h.min(1)[0],
    "tril": lambda m, h, b: h.view(-1, 3, 4).tril(),
    "triu": lambda m, h, b: h.view(-1, 3, 4).triu(),
    "linear": lambda m, h, b: m.l(h),
    "addmm": lambda m, h, b: torch.addmm(m.v, h, m.w),
    "addmv": lambda m, h, b: torch.addmv(h.sum(1), h, m.v),
    "baddbmm": lambda m, h, b: torch.baddbmm(h[:, None, :4], h.view(-1, 3, 4).mT, b.view(-1, 3, 4)),
    "bmm": lambda m, h, b: torch.bmm(h.view(-1, 3, 4).mT, b.view(-1, 3, 4)),
    "dot": lambda m, h, b: h * torch.dot(m.v, m.v),
    "vdot": lambda m, h, b: h * torch.vdot(m.v, m.v),
    "mv": lambda m, h, b: torch.mv(h, m.v),
    "mm": lambda m, h, b: torch.mm(h, m.w),
    "matmul": lambda m, h, b: h @ m.w,
    "outer": lambda m, h, b: h @ torch.outer(m.v, m.v),
    "ger": lambda m, h, b: h @ torch.ger(m.v, m.v),
    "einsum": lambda m, h, b: torch.einsum("bi,bi,ij->bj", h, b, m.w),
    "tensordot": lambda m, h, b: torch.tensordot(h, m.w, dims=([1], [0])),
    "repeat_interleave": lambda m, h, b: h.repeat_interleave(2, 1),
    "stack": lambda m, h, b: torch.stack([h, b], 1),
    "select": lambda m, h, b: h.view(-1, 3, 4).select(1, 1),
    "unbind": lambda m, h, b: h.view(-1, 3, 4).unbind(1)[1],
    "getitem": lambda m, h, b: h.chunk(2, 1)[1],
    "gather": lambda m, h, b: h.gather(1, torch.zeros(4, 2, dtype=torch.int64)),
    "narrow": lambda m, h, b: A.narrow(h, 1, 2, 5),
    "index_select": lambda m, h, b: h.index_select(1, torch.tensor([2, 1])),
    "pad": lambda m, h, b: F.pad(h, (1, 2)),
    "permute": lambda m, h, b: h.view(-1, 3, 4).permute(0, 2, 1),
    "movedim": lambda m, h, b: A.movedim(h.view(-1, 3, 4), 1, 2),
    "moveaxis": lambda m, h, b: A.moveaxis(h.view(-1, 3, 4), 1, 2),
    "swapaxes": lambda m, h, b: A.swapaxes(h.view(-1, 3, 4), 1, 2),
    "swapdims": lambda m, h, b: A.swapdims(h.view(-1, 3, 4), 1, 2),
    "transpose": lambda m, h, b: h.view(-1, 3, 4).transpose(1, 2),
    "pixel_shuffle": lambda m, h, b: F.pixel_shuffle(h.view(-1, 12, 1, 1), 2),
    "glu": lambda m, h, b: F.glu(h, 1),
    "group_norm": lambda m, h, b: F.group_norm(h, 3, m.v, m.v),
    "layer_norm": lambda m, h, b: F.layer_norm(h, (12,), m.v),
    "rms_norm": lambda m, h, b: F.rms_norm(h, (12,), m.v),
    "instance_norm": lambda m, h, b: F.instance_norm(h.view(-1, 3, 4)),
    "prelu": lambda m, h, b: F.prelu(h, m.v),
    "view": lambda m, h, b: h.view(-1, 3, 4),
    "reshape": lambda m, h, b: h.reshape(-1, 3, 4),
    "unflatten": lambda m, h, b: h.unflatten(1, (3, 4)),
    "flatten": lambda m, h, b: h.view(-1, 3, 4).flatten(1),
    "squeeze": lambda m, h, b: h.view(-1, 1, 12).squeeze(1),
    "unsqueeze": lambda m, h, b: h.unsqueeze(1),
    "repeat": lambda m, h, b: h.repeat(1, 2),
    "tile": lambda m, h, b: A.tile(h, [1, 2]),
    "expand": lambda m, h, b: h[:, None].expand(-1, 2, 12),
    "cat": lambda m, h, b: torch.cat([h, b], 1),
    "chunk": lambda m, h, b: h.chunk(2, 1)[0],
    "split": lambda m, h, b: h.split(5, 1)[0],
    "split_with_sizes": lambda m, h, b: h.split_with_sizes([5, 7], 1)[0],
}  # fmt: skip


class Model(nn.Module):
    """Two layers of units, one call, and a sum over all it gives with weights of their own."""

    def __init__(self, call: Callable[[Any, Tensor, Tensor], Any], width: int) -> None:
        super().__init__()
        self.call, self.first, self.second = call, nn.Linear(5, 12), nn.Linear(5, 12)
        self.l, self.out = nn.Linear(12, 6), nn.Linear(width, 2)
        self.v, self.w = nn.Parameter(torch.zeros(12)), nn.Parameter(torch.zeros(12, 12))

    def given(self, x: Tensor) -> Tensor:
        h, b = self.first(x).sigmoid(), self.second(x).sigmoid() + 0.1
        return self.call(self, h, b)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.given(x).to(x.dtype).reshape(4, -1))


@pytest.mark.parametrize("kind", RULES)
def test_every_kind_is_known_and_leaves_the_function(kind: str) -> None:
    x = torch.randn(4, 5, generator=generator(0, "x"), dtype=torch.float64)
    call = CALLS.get(kind) or _by_itself(kind)
    width = randomized(Model(call, 1)).given(x).numel() // 4
    module = randomized(Model(call, width))
    structure, population = Structure.of(module, x), Population.of([module])
    assert kind in {one.kind for one in structure.operations}
    assert not structure.unknown
    before = module(x)
    for number, group in enumerate(structure.groups):
        order = torch.randperm(group.units, generator=generator(0, "order", number)).roll(1)
        after = structure.permuted(population, group, order).module(0)(x)
        scale = 1e-11 * max(1.0, float(before.detach().abs().max()))
        if "dropout" not in kind:
            torch.testing.assert_close(after, before, rtol=0, atol=scale, equal_nan=True, msg=group.name)


def _by_itself(kind: str) -> Callable[[Any, Tensor, Tensor], Any]:
    """The call with as many tensors as it needs."""
    count = sum(
        not argument.has_default_value() and "Tensor" in str(argument.type)
        for argument in getattr(getattr(A, kind), getattr(A, kind).overloads()[0])._schema.arguments
    )
    return lambda m, h, b: getattr(A, kind)(*(h, b, h)[:count])
