"""How long a user waits for the first sign of life, each case a process of its own.

python benchmarks/startup.py
"""

import statistics
import subprocess
import sys
import time

COMMANDS = {
    "an empty Python": ([sys.executable, "-c", "pass"], None),
    "import thalweg": ([sys.executable, "-c", "import thalweg"], 0.3),
    "thalweg --help": ([sys.executable, "-m", "thalweg", "--help"], 0.5),
}


def seconds(command: list[str]) -> float:
    """Wall-clock time of one process."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    for name, (command, target) in COMMANDS.items():
        median = statistics.median(seconds(command) for _ in range(9))
        wanted = "" if target is None else f" (wanted: below {target} s)"
        print(f"  {name:16s} {median:.2f} s{wanted}")


if __name__ == "__main__":
    main()
