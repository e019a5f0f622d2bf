"""Changes one file here and there, and prints the changes that no test notices.

    python .ci/mutate.py clr_core/_rules.py      # every change, an hour or more
    python .ci/mutate.py clr_core/_rules.py 40   # 40 of them, others every time

pyproject.toml says which changes there are, and which tests decide about a file. All of
it happens in a copy of the folder. It takes pip install -e '.[test,mutation]'.
"""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from cosmic_ray.config import serialize_config

ROOT = Path(__file__).parents[1]
PYTEST = "-q -x --ff --tb=line --numprocesses=0 --hypothesis-profile=ci"


def main(file: str, count: int | None = None) -> None:
    """Prints the changes that were survived, and the share of them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    settings = settings["cosmic-ray"]
    deciding = settings.pop("tests")
    tests = next(deciding[start] for start in deciding if file.startswith(start))
    settings["module-path"] = file
    settings["test-command"] = f"{sys.executable} -m pytest {PYTEST} {tests} {file}"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        unneeded = shutil.ignore_patterns(".*", "__pycache__", "results", "runs")
        shutil.copytree(ROOT, copy, ignore=unneeded)
        Path(copy, "mutate.toml").write_text(serialize_config(settings))
        about = {"PYTHONPATH": f"{copy}:{copy}/experiments", "JAX_PLATFORMS": "cpu"}
        about["JAX_COMPILATION_CACHE_DIR"] = f"{folder}/compiled"

        def run(*command: str) -> None:
            tool = Path(sys.executable).with_name(command[0])
            subprocess.run(
                [tool, *command[1:]], cwd=copy, env=os.environ | about, check=True
            )

        run("cosmic-ray", "baseline", "mutate.toml")
        run("cosmic-ray", "init", "mutate.toml", "session")
        run("cr-filter-operators", "session", "mutate.toml")
        if count is not None:
            _keep(copy / "session", count)
        run("cosmic-ray", "exec", "mutate.toml", "session")
        run("cr-report", "session", "--surviving-only", "--show-diff")


def _keep(session: Path, count: int) -> None:
    """Leaves that many of the changes to be made."""
    with sqlite3.connect(session) as database:
        made = "SELECT job_id FROM work_results"
        asked = f"SELECT job_id FROM work_items WHERE job_id NOT IN ({made})"
        jobs = database.execute(asked).fetchall()
        left_out = random.sample(jobs, max(0, len(jobs) - count))
        for table in ("mutation_specs", "work_items"):
            database.executemany(f"DELETE FROM {table} WHERE job_id = ?", left_out)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
