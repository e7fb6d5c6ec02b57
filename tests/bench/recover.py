"""How long real hosts take to come back: the acceptance tests' scenarios, each with its time to a confirmed incident
and from there to the proof that all is well. Prints a table and writes `bench-results/recover.json`.

The tests hurry: a heartbeat of 1 s instead of 10 s, and remedies get 40 % of their usual patience. What a host needs to
boot and to set up is as long as it is. Run by `make bench-recover`.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SCENARIOS = tuple(f"tests/acceptance/healing/test_{name}.py" for name in ("scenarios", "fleet"))


def main() -> int:
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as times:
        environment = {**os.environ, "LAZARET_TEST_RECOVERY_TIMES": times.name}
        chosen = sys.argv[1:] or list(SCENARIOS)
        ended = subprocess.run([sys.executable, "-m", "pytest", "-q", *chosen], env=environment, check=False)
        rows = [json.loads(line) for line in times]
    if not rows:
        print("No scenario was run: can this machine boot real hosts? `lazaret lab up` says what is missing.")
        return 1
    print(f"\n{'scenario':64} {'found':>8} {'healed':>8}  by")
    for row in rows:
        done = ", then ".join(row["done"]) or "itself"
        print(f"{row['scenario']:64} {row['found_s']:6.1f} s {row['recovered_s']:6.1f} s  {done}")
    path = Path("bench-results/recover.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main())
