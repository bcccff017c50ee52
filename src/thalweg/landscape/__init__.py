"""The loss around networks: directions, lines, planes, and the planes of trajectories."""

from thalweg.landscape import directions
from thalweg.landscape.critical_points import CriticalPoints, critical_points
from thalweg.landscape.roughness import Roughness, distance_from_convex, roughness
from thalweg.landscape.shape_of_lines import distance_from_parabola
from thalweg.landscape.surface import Surface
from thalweg.landscape.trajectory import TrajectoryPlane, random_walk_shares, trajectory_plane
from thalweg.landscape.views import line, plane

__all__ = [
    "CriticalPoints",
    "Roughness",
    "Surface",
    "TrajectoryPlane",
    "critical_points",
    "directions",
    "distance_from_convex",
    "distance_from_parabola",
    "line",
    "plane",
    "random_walk_shares",
    "roughness",
    "trajectory_plane",
]
