"""The house: no file takes part in a circle of imports, also inside a room; no file is too long."""

from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
LONGEST = 400  # lines of a file


def circles(imports: dict[str, set[str]]) -> list[set[str]]:
    """The sets of modules that import each other, directly or through others (Tarjan, 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in imports[module]:
            if other not in order:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], order[other])
        if low[module] == order[module]:
            members = set()
            while module not in members:
                members.add(stack.pop())
            if len(members) > 1:
                found.append(members)

    for module in imports:
        if module not in order:
            visit(module)
    return found


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [{"a", "b", "c"}]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_no_file_takes_part_in_a_circle() -> None:
    """Imports within functions count too: what waits to be imported still depends on it."""
    graph = grimp.build_graph("thalweg", exclude_type_checking_imports=False, cache_dir=None)
    imports = {
        module: {other for other in graph.find_modules_directly_imported_by(module) if other in graph.modules}
        for module in graph.modules
    }
    assert circles(imports) == []


def test_no_file_is_too_long() -> None:
    files = [*ROOT.glob("src/**/*.py"), *ROOT.glob("tests/**/*.py")]
    lengths = {str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in files}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}
