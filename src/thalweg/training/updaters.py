"""The rule on all members, those together whose moments have seen as many updates."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from thalweg.optim import Rule, StepHyperparameters, Updater, Wrapper
from thalweg.population import Layout


class Updaters:
    """One `Updater` for each run of neighboring rows whose moments were fresh at the same step.

    A rule counts its steps from fresh moments (bias corrections, first steps), while schedule and data order count
    from the run's step 0; so members that began with fresh moments in mid-run take other numbers than the rest.

    Args:
        rule: see `Updater`.
        theta: the parameters, changed by `step`.
        slots: what the rule remembers, by name, changed by `step`.
        fresh_since: the step at which each member's moments were fresh: (members,).
        layout: of theta.
        mask: see `Updater`.
    """

    def __init__(
        self,
        rule: Rule | Wrapper,
        theta: Float[Tensor, "members parameters"],
        slots: Mapping[str, Tensor],
        fresh_since: Int64[Tensor, " members"],
        layout: Layout,
        mask: Bool[Tensor, "members parameters"] | None = None,
    ) -> None:
        values, counts = torch.unique_consecutive(fresh_since, return_counts=True)
        self.parts: list[tuple[slice, int, Updater]] = []
        start = 0
        for since, count in zip(values.tolist(), counts.tolist(), strict=True):
            rows = slice(start, start + count)
            own = {name: matrix[rows] for name, matrix in slots.items()}
            within = None if mask is None else mask[rows]
            self.parts.append((rows, since, Updater(rule, theta[rows], own, layout, within)))
            start += count
        self.ascent = self.parts[0][2].ascent

    def look_ahead(self, h: StepHyperparameters, out: Float[Tensor, "members parameters"]) -> None:
        """Write the point at which the coming step wants its gradient."""
        for rows, since, updater in self.parts:
            updater.look_ahead(_counted(h, rows, since), out[rows])

    def step(
        self, gradient: Float[Tensor, "members parameters"], h: StepHyperparameters, active: Tensor | None = None
    ) -> None:
        """One update of the members that are `active`, as `Updater.step` does it."""
        for rows, since, updater in self.parts:
            own = None if active is None else active[rows]
            if own is None or own.any():
                updater.step(gradient[rows], _counted(h, rows, since), own)


def _counted(h: StepHyperparameters, rows: slice, since: int) -> StepHyperparameters:
    """The numbers of these rows; members that have not begun count as at their first step."""
    own = h.rows(rows)
    return own if since == 0 else replace(own, step=max(1, h.step - since))
