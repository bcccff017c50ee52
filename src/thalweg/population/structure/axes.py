"""Which indices of a dimension can be exchanged: axes that are made equal, split, cut and fixed."""

from collections.abc import Iterator, Sequence

ONE, TOLD_APART = "one index", "its indices are told apart"  # why an axis is fixed
Places = tuple[int, ...]  # of one unit
Part = tuple[tuple[int, ...], "Axis"]  # indices, ascending, and what lies on them


class Axis:
    """The indices 0, ..., size - 1 of a dimension, and which of them may be exchanged; found out while reading a trace.

    An axis is one of five: linked to another, which it is equal to; fixed, for a reason (no two indices may be
    exchanged); blocks of equal length, where `index` says which blocks may be exchanged and `children` what may be
    within each; parts, which are told apart, each on some indices; or none of these: all indices may be exchanged.
    Restricting is all that ever happens to one, so what was concluded from a freer axis stays true.
    """

    __slots__ = ("cause", "children", "index", "link", "parts", "reason", "size", "tags")

    def __init__(self, size: int) -> None:
        self.size = size
        self.link: Axis | None = None
        self.index: Axis | None = None
        self.children: tuple[Axis, ...] = ()
        self.parts: tuple[Part, ...] = ()
        self.reason = "" if size > 1 else ONE
        self.cause = TOLD_APART  # of parts, where one operation told them apart
        self.tags: set[str] = set()

    @property
    def free(self) -> bool:
        """Whether all indices may be exchanged, as far as is known."""
        return not (self.reason or self.index or self.parts)


def find(axis: Axis) -> Axis:
    """What an axis is equal to, after all links."""
    while axis.link is not None:
        if axis.link.link is not None:
            axis.link = axis.link.link
        axis = axis.link
    return axis


def fixed(size: int, reason: str) -> Axis:
    """An axis whose indices are all told apart."""
    axis = Axis(size)
    axis.reason = axis.reason or reason
    return axis


def in_blocks(index: Axis, children: Sequence[Axis]) -> Axis:
    """Blocks one behind the other; there are as many children as `index` has indices."""
    index, children = find(index), tuple(map(find, children))
    if len(children) == 1:
        return children[0]
    if children[0].size == 1:
        return index
    axis = Axis(len(children) * children[0].size)
    if index.reason and all(child.reason for child in children):
        axis.reason = index.reason
    else:
        axis.index, axis.children = index, children
    return axis


def in_parts(parts: Sequence[Part]) -> Axis:
    """Parts that are told apart, together on all indices."""
    if len(parts) == 1:
        return find(parts[0][1])
    axis = Axis(sum(len(indices) for indices, _ in parts))
    reasons = [find(part).reason for _, part in parts]
    if all(reasons):
        axis.reason = next((reason for reason in reasons if reason != ONE), TOLD_APART)
    else:
        axis.parts = tuple(parts)
    return axis


def fix(axis: Axis, reason: str) -> None:
    """Tell all indices apart."""
    axis = find(axis)
    if axis.reason:
        return
    below = [part for _, part in axis.parts] + [child for child in axis.children] + ([axis.index] if axis.index else [])
    axis.index, axis.children, axis.parts, axis.reason = None, (), (), reason
    for other in below:
        fix(other, reason)


def same(one: Axis, other: Axis) -> bool:
    """Whether two axes are equal already."""
    one, other = find(one), find(other)
    if one is other or (one.reason and other.reason):
        return one.size == other.size
    if one.index is None or other.index is None or len(one.children) != len(other.children):
        return False
    return same(one.index, other.index) and all(map(same, one.children, other.children))


def unify(one: Axis, other: Axis, reason: str) -> None:
    """Make two axes equal; where their blocks do not fit into each other, both are fixed for this reason."""
    one, other = find(one), find(other)
    if one is other:
        return
    if one.size != other.size or one.reason or other.reason:
        fix(one, other.reason or reason)
        fix(other, one.reason or reason)
        return
    if not one.free and other.free:
        one, other = other, one
    if one.free:
        pass
    elif one.parts or other.parts:
        one, other = (one, other) if one.parts else (other, one)
        for indices, part in one.parts:
            unify(part, cut(other, indices, reason), reason)
    else:
        if len(one.children) < len(other.children):
            one, other = other, one
        index, children = split(one, len(other.children), reason)
        unify(index, other.index or index, reason)
        for mine, theirs in zip(children, other.children, strict=True):
            unify(mine, theirs, reason)
    one, other = find(one), find(other)
    if one is not other:
        for leaf in (other, *leaves(other)):
            leaf.tags |= one.tags
        one.link = other
        if one.reason:
            fix(other, one.reason)


def split(axis: Axis, count: int, reason: str) -> tuple[Axis, tuple[Axis, ...]]:
    """An axis as that many blocks of equal length: which of them may be exchanged, and what may be within each."""
    axis = find(axis)
    length = axis.size // count
    if length == 1:
        return axis, tuple(Axis(1) for _ in range(count))
    if count == 1:
        return Axis(1), (axis,)
    if axis.free:
        axis.index, axis.children = Axis(count), tuple(Axis(length) for _ in range(count))
        for child in axis.children:
            child.tags |= axis.tags
    if axis.index is not None:
        blocks = len(axis.children)
        if blocks == count:
            return axis.index, axis.children
        if blocks % count == 0:
            each = blocks // count
            index, inner = split(axis.index, count, reason)
            return index, tuple(
                in_blocks(part, axis.children[i * each : (i + 1) * each]) for i, part in enumerate(inner)
            )
        if count % blocks == 0:
            pairs = [split(child, count // blocks, reason) for child in axis.children]
            return in_blocks(axis.index, [pair[0] for pair in pairs]), tuple(c for pair in pairs for c in pair[1])
    if axis.parts and all(_whole(indices, length) for indices, _ in axis.parts):
        places, children = [], [Axis(1)] * count
        for indices, part in axis.parts:
            blocks = tuple(i // length for i in indices[::length])
            index, inner = split(part, len(blocks), reason)
            places.append((blocks, index))
            for block, child in zip(blocks, inner, strict=True):
                children[block] = child
        return in_parts(places), tuple(children)
    fix(axis, reason)
    return fixed(count, axis.reason), tuple(fixed(length, axis.reason) for _ in range(count))


def cut(axis: Axis, indices: tuple[int, ...], reason: str) -> Axis:
    """What lies on some indices of an axis, ascending, which are told apart from the others by that."""
    axis = find(axis)
    if len(indices) == axis.size:
        return axis
    if axis.reason:
        return fixed(len(indices), axis.reason)
    chosen = set(indices)
    if axis.free:
        others = tuple(i for i in range(axis.size) if i not in chosen)
        axis.parts, axis.cause = ((indices, Axis(len(indices))), (others, Axis(len(others)))), reason
        for _, part in axis.parts:
            part.tags |= axis.tags
        return axis.parts[0][1]
    if axis.index is not None:
        length = axis.children[0].size
        within = [
            tuple(i - b * length for i in range(b * length, (b + 1) * length) if i in chosen) for b in _blocks(axis)
        ]
        touched = tuple(b for b in _blocks(axis) if within[b])
        if len({within[b] for b in touched}) == 1:  # alike in all blocks that are touched
            index = cut(axis.index, touched, reason)
            return in_blocks(index, [cut(axis.children[b], within[b], reason) for b in touched])
        fix(axis.index, reason)
        axis.parts = tuple((tuple(range(b * length, (b + 1) * length)), child) for b, child in enumerate(axis.children))
        axis.index, axis.children = None, ()
    place = {index: i for i, index in enumerate(indices)}
    pieces: list[Part] = []
    for own, part in axis.parts:
        kept = tuple(i for i, index in enumerate(own) if index in chosen)
        if kept:
            pieces.append((tuple(place[own[i]] for i in kept), cut(part, kept, reason)))
    return in_parts(pieces)


def leaves(axis: Axis) -> Iterator[Axis]:
    """The free axes that an axis is made of, each as often as it occurs."""
    axis = find(axis)
    if axis.free:
        yield axis
    for part in (*(part for _, part in axis.parts), *axis.children, *([axis.index] if axis.index else [])):
        yield from leaves(part)


def reasons(axis: Axis) -> Iterator[str]:
    """Why indices of an axis may not be exchanged."""
    axis = find(axis)
    if axis.reason and axis.reason != ONE:
        yield axis.reason
    if axis.parts:
        yield axis.cause
    for part in (*(part for _, part in axis.parts), *axis.children, *([axis.index] if axis.index else [])):
        yield from reasons(part)


def walk(axis: Axis, places: Sequence[Places]) -> Iterator[tuple[Axis, Sequence[Places], bool]]:
    """Every free axis in an axis, the places of each of its units, and whether these are blocks of free ones.

    Args:
        axis: the indices of a dimension.
        places: of each of these, where it is.
    """
    axis = find(axis)
    if axis.free:
        yield axis, places, False
    for indices, part in axis.parts:
        yield from walk(part, [places[i] for i in indices])
    if axis.index is not None:
        length = axis.children[0].size
        blocks = [places[b * length : (b + 1) * length] for b in _blocks(axis)]
        inside = any(True for child in axis.children for _ in leaves(child))
        for leaf, where, _ in walk(axis.index, [tuple(i for place in block for i in place) for block in blocks]):
            yield leaf, where, inside
        for block, child in zip(blocks, axis.children, strict=True):
            yield from walk(child, block)


def _blocks(axis: Axis) -> range:
    return range(len(axis.children))


def _whole(indices: tuple[int, ...], length: int) -> bool:
    """Whether indices are whole blocks of that length."""
    return len(indices) % length == 0 and all(
        block[0] % length == 0 and block == tuple(range(block[0], block[0] + length))
        for block in (indices[i : i + length] for i in range(0, len(indices), length))
    )
