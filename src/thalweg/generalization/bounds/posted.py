"""What a board shows: a table and a figure of all families, and which of them are vacuous."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from thalweg.errors import UsageError
from thalweg.figures import Axis, Figure, ReferenceLine, Scatter
from thalweg.generalization.bounds.arguments import Array
from thalweg.generalization.bounds.rows import NETWORK, BoundRow
from thalweg.results import Cost, Provenance, Reading, Result, Table

_LARGEST, _SMALLEST = 1e9, 1e-4  # of the axis


@dataclass(frozen=True, eq=False)
class Board(Result):
    """What `board` found.

    Args:
        reading: "bound", "error" (of the predictor that the bound is about, on its examples) and "vacuous"
            (family, member), and "training error" (member); with held-out examples also "held-out error" (member).
        rows: the families, with what each is about.
        classes: of which a guess is right in one.
    """

    rows: tuple[BoundRow, ...] = field(repr=False)
    classes: int = 2

    def row(self, family: str) -> BoundRow:
        """One family.

        Raises:
            UsageError: there is none of that name.
        """
        return self.rows[self._places(family)]

    def with_rows(self, more: Sequence[BoundRow]) -> "Board":
        """The same with further families below, such as `certificate.row` of a family that was trained for.

        Raises:
            UsageError: they are of another number of networks.
        """
        arrays = dict(self.reading.arrays)
        return posted(
            (*self.rows, *more),
            self.classes,
            arrays["training error"],
            arrays.get("held-out error"),
            self.reading.cost,
            self.reading.provenance,
            self.reading.notes,
        )

    def table(self, member: int | None = None) -> Table:
        """One row a family: what it is about, on how many examples, how sure, and what it says.

        Args:
            member: of one network; None: the median over all of them.

        Raises:
            UsageError: no such member.
        """
        bound, error = self._of("bound", member), self._of("error", member)
        vacuous = self["vacuous"] if member is None else self["vacuous"][:, [member]]
        several = vacuous.shape[1] > 1
        said = [f"{one.sum()} of {len(one)}" if several else ("yes" if one[0] else "no") for one in vacuous]
        return Table(
            {
                "family": [row.family for row in self.rows],
                "about": [row.about for row in self.rows],
                "examples": [row.examples for row in self.rows],
                "confidence": [row.confidence if not row.generous else np.nan for row in self.rows],
                "error": error,
                "bound": bound,
                "vacuous": said,
                "constants": ["dropped" if row.generous else "" for row in self.rows],
            }
        )

    def figure(self, member: int | None = None) -> Figure:
        """One row a family on a logarithmic axis, all networks as points, hollow where constants were dropped.

        Args:
            member: one network; None: all of them.

        Raises:
            UsageError: no such member.
        """
        table = self["bound"] if member is None else self["bound"][:, [self._checked(member)]]
        errors = self["training error" if "held-out error" not in self.reading.arrays else "held-out error"]
        measured = float(np.median(errors) if member is None else errors[member])
        which = "training" if "held-out error" not in self.reading.arrays else "held-out"
        every = [1.0, max(measured, _SMALLEST)]
        kinds: dict[tuple[str, bool], tuple[list[float], list[int]]] = {}
        for place, (row, values) in enumerate(zip(self.rows, table, strict=True)):
            label = "constants dropped: no bound" if row.generous else f"bound of {row.about}"
            x, y = kinds.setdefault((label, row.generous), ([], []))
            shown = np.where(values > _LARGEST, np.nan, np.maximum(values, _SMALLEST))
            every += shown.tolist()
            x += shown.tolist()
            y += [len(self.rows) - 1 - place] * len(values)
        marks = [
            Scatter(np.array(x), np.array(y), label=label, hollow=hollow) for (label, hollow), (x, y) in kinds.items()
        ]
        lines = [ReferenceLine(1.0, "vertical", label="1")]
        if measured > 0:
            lines.append(ReferenceLine(measured, "vertical", label=f"{which} error"))
        names = tuple(row.family for row in reversed(self.rows))
        count = table.shape[1]
        about = f"{count} networks, a point each. " if count > 1 else ""
        beyond = "Bounds beyond the axis are not shown. " if (table > _LARGEST).any() else ""
        return Figure.of(
            "What bounds say",
            [*marks, *lines],
            Axis("bound of the risk", scale="log", limits=(float(np.nanmin(every)) / 2, float(np.nanmax(every)) * 2)),
            Axis("family", names=names),
            caption=about + beyond + " ".join(self.reading.notes),
        )

    def _of(self, array: str, member: int | None) -> Array:
        return np.median(self[array], axis=1) if member is None else self[array][:, self._checked(member)]

    def _checked(self, member: int) -> int:
        count = self["bound"].shape[1]
        if not 0 <= member < count:
            msg = f"There is no member {member}; the board has {count} (0 to {count - 1})."
            raise UsageError(msg)
        return member

    def _places(self, family: str) -> int:
        names = [row.family for row in self.rows]
        if family not in names:
            msg = f"There is no family {family!r} on this board; it has {', '.join(names)}."
            raise UsageError(msg)
        return names.index(family)


def posted(
    rows: tuple[BoundRow, ...],
    classes: int,
    error: Array,
    unseen_error: Array | None,
    cost: Cost,
    provenance: Provenance,
    notes: tuple[str, ...],
) -> Board:
    """The board of these families.

    Raises:
        UsageError: a family of another number of networks, two of one name, or a bound that is NaN.
    """
    members = len(error)
    others = [row.family for row in rows if row.bound.shape != (members,)]
    if others:
        msg = f"The board is of {members} networks, and {', '.join(others)} of another number of them."
        raise UsageError(msg)
    names = [row.family for row in rows]
    lost = [row.family for row in rows if np.isnan(row.bound).any()]
    if lost:
        msg = f"A bound of {', '.join(lost)} is NaN, which bounds nothing; write np.inf where there is none."
        raise UsageError(msg)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        msg = f"The board has {', '.join(twice)} already; leave it out, or give the row another name."
        raise UsageError(msg)
    table = {
        "bound": np.stack([row.bound for row in rows]),
        "error": np.stack([row.error for row in rows]),
        "vacuous": np.stack([row.vacuous(classes) for row in rows]),
    }
    single = {"training error": error} | ({} if unseen_error is None else {"held-out error": unseen_error})
    reading = Reading(
        "bounds of the risk",
        table | single,
        dict.fromkeys(table, ("family", "member")) | dict.fromkeys(single, ("member",)),
        {"family": names},
        sample_size=next((row.examples for row in rows if row.about == NETWORK), None),
        cost=cost,
        provenance=provenance,
        notes=notes,
    )
    return Board(reading, rows, classes)
