"""Run the execution tests that graphql-core publishes on our executor and on Strawberry's.

Both must pass and fail the same tests. pip downloads the source distribution; none of it is kept
in the repository.

    python tools/published_tests.py PYTHON FOLDER

PYTHON is the interpreter of an environment with requirements/runtime.lock and
requirements/published.lock. The tests are unpacked into FOLDER.
"""

import os
import re
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "graphql-core"


def main(python: str, folder: Path) -> int:
    """Return 0 if both executors pass and fail the same tests and ours was used."""
    tests = _download(python, folder)
    ours, theirs = (_run(python, tests, executor) for executor in ("breadth-first", "strawberry"))
    for name, (passed, failed, executions) in (("ours", ours), ("Strawberry's", theirs)):
        summary = f"{name}: {passed} passed, {len(failed)} failed, {executions} executions"
        sys.stdout.write("\n".join([summary, *(f"  {test}" for test in sorted(failed)), ""]))
    same = ours[:2] == theirs[:2] and ours[0] > 0 and ours[2] > 0
    sys.stdout.write("The same tests pass and fail.\n" if same else "The two differ.\n")
    return 0 if same else 1


def _download(python: str, folder: Path) -> Path:
    """Download and unpack the tests of the installed version; return their folder."""
    name = f"graphql_core-{version(PACKAGE)}"
    archive = folder / f"{name}.tar.gz"
    if not archive.exists():
        download = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
        only_source = ["--no-build-isolation", "--no-binary", PACKAGE]
        # pip needs the build backend, which is a program of that environment.
        path = os.pathsep.join([str(Path(python).parent), os.environ["PATH"]])
        subprocess.run(
            [*download, *only_source, f"{PACKAGE}=={version(PACKAGE)}"],
            env={**os.environ, "PATH": path},
            check=True,
        )
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")
    # Next to the package's sources, the tests would import these instead of the installed package.
    (folder / name / "src").rename(folder / name / "unused")
    return folder / name


def _run(python: str, tests: Path, executor: str) -> tuple[int, set[str], int]:
    """Return how many tests pass, which fail, and how often the executor was used."""
    command = [python, "-m", "pytest", "-p", "tools.breadth_first_plugin", "-q", "-rf"]
    ran = subprocess.run(
        [*command, "-p", "no:cacheprovider", "tests/execution"],
        cwd=tests,
        env={**os.environ, "PYTHONPATH": str(ROOT), "EXECUTOR": executor},
        capture_output=True,
        text=True,
        check=False,
    )
    passed = re.search(r"(\d+) passed", ran.stdout)
    executions = re.search(r": (\d+) executions", ran.stdout)
    if passed is None or executions is None:
        sys.exit(ran.stdout[-3_000:] + ran.stderr[-3_000:])
    failed = set(re.findall(r"^FAILED (\S+)", ran.stdout, re.MULTILINE))
    return int(passed[1]), failed, int(executions[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
