"""Writers and readers of units: square layers are both, parts of fused layers are neither."""

from collections.abc import Callable

import pytest
import torch
from population.architectures import TOKENS, Nano
from torch import Tensor, nn

from thalweg.population import Structure


class Model(nn.Module):
    def __init__(self, function: Callable[["Model", Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.a, self.inner, self.o = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.norm, self.w, self.scale = nn.LayerNorm(6), nn.Parameter(torch.ones(4, 6)), nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def _residual(m: Model, x: Tensor) -> Tensor:
    h = m.a(x)
    return m.o(m.norm(h + m.inner(h).tanh()) * m.scale)


@pytest.mark.parametrize(
    ("function", "writers", "readers"),
    [
        (lambda m, x: m.o(m.a(x).tanh()), ["linear a"], ["linear o"]),
        (_residual, ["linear a", "linear inner"], ["linear inner", "linear o"]),
        (lambda m, x: m.o((x @ m.w).tanh()), ["matmul "], ["linear o"]),
        (lambda m, x: m.o((nn.functional.linear(x, m.w.t()) * m.scale).tanh()), ["linear "], ["linear o"]),
        (lambda m, x: (m.a(x).tanh() * m.scale).sum(-1), ["linear a"], ["sum "]),
        (lambda m, x: m.a(x).tanh() @ m.w.t(), ["linear a"], ["matmul "]),
        (lambda m, x: m.o((x[:, :1] * m.scale).tanh()), ["mul "], ["linear o"]),
    ],
)
def test_writers_and_readers_of_the_first_group(
    function: Callable[[Model, Tensor], Tensor], writers: list[str], readers: list[str]
) -> None:
    structure = Structure.of(Model(function), torch.zeros(2, 4))
    (group,) = structure.groups
    found = [
        [f"{one.kind} {one.module}" for one in side] for side in (structure.writers(group), structure.readers(group))
    ]
    assert found == [writers, readers]


def test_parts_of_a_fused_projection_are_no_readers() -> None:
    structure = Structure.of(Nano(fused=True), TOKENS)

    def modules(group: str) -> list[list[str]]:
        sides = (structure.writers(group), structure.readers(group))
        return [[f"{one.kind} {one.module}" for one in side] for side in sides]

    attention = "h.0.attn"
    assert modules(f"{attention}.c_attn: heads") == [[f"linear {attention}.c_attn"], [f"linear {attention}.c_proj"]]
    assert modules(f"{attention}.c_attn: value 0") == [[f"linear {attention}.c_attn"], [f"linear {attention}.c_proj"]]
    assert modules(f"{attention}.c_attn: query-key 0") == [
        [f"linear {attention}.c_attn"],
        [f"scaled_dot_product_attention {attention}"],
    ]
    (stream,) = (group.name for group in structure.groups if group.kind == "stream")
    parts = [f"h.{n}.{part}" for n in (0, 1) for part in ("attn.c_proj", "mlp.2")]
    assert modules(stream) == [
        ["embedding wte", "embedding wpe", *(f"linear {part}" for part in parts)],
        [*(f"linear h.{n}.{part}" for n in (0, 1) for part in ("attn.c_attn", "mlp.0")), "linear lm_head"],
    ]
