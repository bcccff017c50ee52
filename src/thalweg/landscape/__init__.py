"""The loss around networks: directions, lines and planes."""

from thalweg.landscape import directions
from thalweg.landscape.points import Points
from thalweg.landscape.surface import Surface, line, plane

__all__ = ["Points", "Surface", "directions", "line", "plane"]
