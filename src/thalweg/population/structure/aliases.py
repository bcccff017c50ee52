"""Values that lie in the same memory, and what is written into one of them behind the back of the others."""

from collections.abc import Iterable, Mapping

from thalweg.population.structure.operation import Operation, kinds
from thalweg.population.structure.shapes import ORDERS, SPLITS, VIEWS

ALIASES = {*VIEWS, *ORDERS, *SPLITS} | set(
    kinds(
        "alias alpha_dropout broadcast_to contiguous detach diagonal dropout expand expand_as feature_alpha_dropout "
        "feature_dropout getitem identity imag lift lift_fresh narrow real select slice to type_as unbind unfold "
        "view_as_complex view_as_real"
    )
)


def overwritten(operations: Iterable[Operation]) -> Mapping[str, tuple[Operation, frozenset[str]]]:
    """Operations that read what was written into through another value, of which a trace does not tell.

        v = z.view(...); v.mul_(h); out(z)    reads z, which the trace holds as it was before

    Returns:
        By the name of each: the operation that wrote, and the names of all values in that memory.
    """
    roots: dict[str, str] = {}
    writes: dict[str, tuple[Operation, frozenset[str]]] = {}  # by a value that is no longer what it was
    found: dict[str, tuple[Operation, frozenset[str]]] = {}
    for one in operations:
        old = next((writes[name] for name in one.inputs if name in writes), None)
        if old is not None:
            found[one.name] = old
        inplace = _in_place(one)
        if one.inputs and (inplace or one.kind in ALIASES):
            roots[one.name] = roots.get(one.inputs[0], one.inputs[0])
        if one.inputs and inplace:
            root = roots[one.name]
            same = frozenset({root, *(name for name, of in roots.items() if of == root)})
            writes |= {name: (one, same) for name in same - {one.name}}
    return found


def _in_place(operation: Operation) -> bool:
    """Whether it writes into its first argument, as torch's names say: `mul_`, `__iadd__`."""
    name = operation.target.split(".")[1] if operation.target.count(".") > 1 else ""
    return name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))
