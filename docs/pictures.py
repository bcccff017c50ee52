"""Makes the README's pictures of trained networks, from the README's own Python: `python docs/pictures.py`."""

import re
from pathlib import Path

from thalweg import Figure
from thalweg.figures import SurfacePlot

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Run the README, and save two of the figures that it shows: the first, and the surface."""
    shown: list[Figure] = []
    Figure.show = lambda figure: shown.append(figure)  # type: ignore[method-assign]
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    exec("\n".join(blocks), {})
    (relief,) = (one for one in shown if isinstance(one.panels[0].marks[0], SurfacePlot))
    for name, figure in (("history", shown[0]), ("relief", relief)):
        print(figure.save(ROOT / "docs" / "images" / f"{name}.png"))


if __name__ == "__main__":
    main()
