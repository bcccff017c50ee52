"""The loss around networks: directions, lines, planes, and the planes of trajectories."""

from thalweg.landscape import directions
from thalweg.landscape.surface import Surface
from thalweg.landscape.trajectory import TrajectoryPlane, random_walk_shares, trajectory_plane
from thalweg.landscape.views import line, plane

__all__ = [
    "Surface",
    "TrajectoryPlane",
    "directions",
    "line",
    "plane",
    "random_walk_shares",
    "trajectory_plane",
]
