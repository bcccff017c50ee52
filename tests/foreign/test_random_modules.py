"""Random modules from a grammar: every plan and every derivative is that of plain torch."""

from collections.abc import Callable
from pathlib import Path

import torch
from foreign.harness import Case, assert_as_plain, double, normal  # noqa: F401
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

WIDE = 4
Build = Callable[[], nn.Module]


class Residual(nn.Module):
    """x + scale * body(x), with a scale that may be trained."""

    def __init__(self, body: nn.Module, *, trained: bool) -> None:
        super().__init__()
        self.body, self.scale = body, nn.Parameter(torch.tensor(0.5), requires_grad=trained)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.body(x)


class Masked(nn.Module):
    """Some entries are hidden, by a buffer."""

    def __init__(self, body: nn.Module, kept: tuple[bool, ...]) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("kept", torch.tensor(kept))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.masked_fill(~self.kept, 0.5))


class Twice(nn.Module):
    """One body called twice, or copied by name: shared parameters."""

    def __init__(self, body: nn.Module, *, named: bool) -> None:
        super().__init__()
        self.body = body
        if named:
            self.again = body

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, "again", self.body)(torch.tanh(self.body(x)))


class Gated(nn.Module):
    """One body's sigmoid times another's values."""

    def __init__(self, gate: nn.Module, body: nn.Module) -> None:
        super().__init__()
        self.gate, self.body = gate, body

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x).sigmoid() * self.body(x)


class Attention(nn.Module):
    """Entries attend to each other, as tokens of one number."""

    def __init__(self, hidden: tuple[bool, ...]) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(2, 1, batch_first=True)
        self.lift = nn.Linear(1, 2)
        self.register_buffer("hidden", torch.tensor((*hidden[:-1], False)))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.lift(x[..., None])
        mask = self.hidden.expand(len(x), -1)
        return self.attend(tokens, tokens, tokens, key_padding_mask=mask, need_weights=False)[0].mean(-1)


class Convolved(nn.Module):
    """Entries as a signal."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, padding_mode="circular")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x[:, None])[:, 0]


def frozen(module: nn.Module) -> nn.Module:
    return module.requires_grad_(requires_grad=False)


LEAVES: list[Build] = [
    lambda: nn.Linear(WIDE, WIDE),
    lambda: nn.Linear(WIDE, WIDE, bias=False),
    lambda: nn.LayerNorm(WIDE),
    lambda: nn.GroupNorm(2, WIDE),
    lambda: nn.BatchNorm1d(WIDE),
    lambda: nn.BatchNorm1d(WIDE, affine=False, momentum=None),
    lambda: nn.RMSNorm(WIDE),
    lambda: frozen(nn.Linear(WIDE, WIDE)),
    nn.Tanh,
    nn.GELU,
    nn.SiLU,
    lambda: nn.Dropout(0.3),
    Convolved,
]
KEPT = st.tuples(*[st.booleans()] * WIDE)


def grown(inner: st.SearchStrategy[Build]) -> st.SearchStrategy[Build]:
    """Larger modules of smaller ones."""
    return st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: lambda: nn.Sequential(*(part() for part in parts))),
        st.builds(lambda body, trained: lambda: Residual(body(), trained=trained), inner, st.booleans()),
        st.builds(lambda body, named: lambda: Twice(body(), named=named), inner, st.booleans()),
        st.builds(lambda body, kept: lambda: Masked(body(), kept), inner, KEPT),
        st.builds(lambda gate, body: lambda: Gated(gate(), body()), inner, inner),
    )


BODIES = st.recursive(
    st.one_of(st.sampled_from(LEAVES), KEPT.map(lambda hidden: lambda: Attention(hidden))), grown, max_leaves=5
)


def net(body: Build) -> nn.Module:
    return nn.Sequential(nn.Linear(WIDE, WIDE), body(), nn.Linear(WIDE, 3))


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
def test_random_modules_are_what_plain_torch_makes_of_them(body: Build, tmp_path: Path) -> None:
    draws = any(isinstance(part, nn.Dropout) for part in net(body).modules())
    assert_as_plain(Case("a random module", lambda: net(body), normal(WIDE), draws=draws), tmp_path)
