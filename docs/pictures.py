"""Makes pictures of trained networks from the Python that the pages show: `python docs/pictures.py`."""

import doctest
import re
from pathlib import Path
from typing import Any

from thalweg import Figure
from thalweg.figures import SurfacePlot

ROOT = Path(__file__).parent.parent


def main() -> None:
    """The README's history and surface, and the board of bounds of the page on generalization."""
    shown = of_the_readme()
    (relief,) = (one for one in shown if isinstance(one.panels[0].marks[0], SurfacePlot))
    pictures = {"history": shown[0], "relief": relief, "bounds": of_a_page("generalization", "posted").figure()}
    for name, figure in pictures.items():
        print(figure.save(ROOT / "docs" / "images" / f"{name}.png"))


def of_the_readme() -> list[Figure]:
    """Run the README: the figures that it shows."""
    shown: list[Figure] = []
    Figure.show = lambda figure: shown.append(figure)  # type: ignore[method-assign]
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    exec("\n".join(blocks), {})
    return shown


def of_a_page(page: str, name: str) -> Any:
    """Run a page of examples until it has made what it calls so."""
    made: dict[str, Any] = {}
    for example in doctest.DocTestParser().get_examples((ROOT / "docs" / f"{page}.md").read_text()):
        exec(example.source, made)
        if name in made:
            break
    return made[name]


if __name__ == "__main__":
    main()
