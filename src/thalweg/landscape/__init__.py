"""The loss around networks: directions, lines, planes, and the planes of trajectories."""

from thalweg.evaluation.points import Points
from thalweg.landscape import directions
from thalweg.landscape.surface import Surface
from thalweg.landscape.trajectory import TrajectoryPlane, random_walk_shares, trajectory_plane
from thalweg.landscape.views import line, plane

__all__ = [
    "Points",
    "Surface",
    "TrajectoryPlane",
    "directions",
    "line",
    "plane",
    "random_walk_shares",
    "trajectory_plane",
]
