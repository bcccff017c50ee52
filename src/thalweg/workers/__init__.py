"""Where slices of populations and experiments run: this process, processes of this machine, a Ray cluster.

A member's randomness never depends on who else is in the population, so what is cut into slices and carried out
anywhere is the result of one process: to the bit at equal threads, processor and torch.
"""

from thalweg.workers.checking import check_workers
from thalweg.workers.cluster import Ray
from thalweg.workers.here import Here
from thalweg.workers.place import Place
from thalweg.workers.processes import Processes
from thalweg.workers.protocol import Done, Heard, Tell, Work, Workers

__all__ = ["Done", "Heard", "Here", "Place", "Processes", "Ray", "Tell", "Work", "Workers", "check_workers"]
