"""`make run` and `make test` on a computer that has only Python and make."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support import programs
from tests.support.programs import PROGRAMS

ROOT = Path(__file__).parents[2]
SETUP = ROOT / "tests" / "support" / "programs.py"
#: Folders outside a plain user's PATH in which the tests look too.
FOUND_ANYWAY = {"nginx", "postgres"}


def tools(folder: Path, **scripts: str) -> Path:
    """Return a folder for PATH with these shell scripts and `env`, and nothing else."""
    folder.mkdir()
    (folder / "env").symlink_to(shutil.which("env") or "/usr/bin/env")
    for name, script in scripts.items():
        file = folder / name.replace("_", "-")
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
    return folder


def set_up(path: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    given = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(
        [sys.executable, SETUP],
        env=given | {"PATH": str(path)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_missing_program_is_reported_in_one_line_and_the_suite_continues(tmp_path: Path) -> None:
    result = set_up(tools(tmp_path / "bin"))
    assert (result.returncode, result.stderr) == (0, "")
    *lines, last = result.stdout.splitlines()
    said = {line.removeprefix("make: ").partition(" is missing: ")[0] for line in lines}
    assert set(PROGRAMS) - FOUND_ANYWAY <= said <= set(PROGRAMS)
    assert len(lines) == len(said)
    assert last == "make: the tests that need these are left out"


def test_a_missing_program_is_a_failure_in_ci(tmp_path: Path) -> None:
    result = set_up(tools(tmp_path / "bin"), CI="true")
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout.endswith("make: CI=true: nothing may be left out\n")


# The script of apt-get installs curl as a script, and knows no other package.
APT = """echo "$@" >> "$CALLS"
case "$*" in *" curl") printf '#!/bin/sh\\necho curl 8' > "$BIN/curl"; PATH=/usr/bin:/bin chmod +x "$BIN/curl";;
*install*) echo "E: Unable to locate the package" >&2; exit 100;; esac"""
SUDO = 'shift; "$@"'


def test_a_missing_program_is_installed_where_that_is_permitted(tmp_path: Path) -> None:
    path, calls = tools(tmp_path / "bin", apt_get=APT, sudo=SUDO), tmp_path / "calls"
    result = set_up(path, BIN=str(path), CALLS=str(calls))
    assert "make: curl is missing, installing curl\n" in result.stdout
    assert "make: npx is missing, installing npm\nmake: E: Unable to locate the package\n" in result.stdout
    assert "make: npx is missing: get it with `sudo apt-get install npm`\n" in result.stdout
    assert "make: curl is missing: " not in result.stdout
    assert [line.split()[0] for line in calls.read_text().splitlines()].count("update") == 1


def test_without_permission_to_install_the_command_to_do_so_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tools(tmp_path / "bin", apt_get="echo called >&2", sudo="exit 1")))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    programs.find.cache_clear()
    try:
        assert "curl" in programs.make_sure()
    finally:
        programs.find.cache_clear()
    result = capsys.readouterr().out
    assert "make: curl is missing: get it with `sudo apt-get install curl`\n" in result
    assert "installing" not in result


def test_a_placeholder_command_does_not_count_as_the_program(tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", chromium="echo 'requires the snap' >&2; exit 1", curl="echo curl 8.0")
    result = set_up(path).stdout
    assert "make: chromium is missing: " in result
    assert "make: curl is missing: " not in result


def test_a_program_that_is_too_old_is_missing(tmp_path: Path) -> None:
    path = tools(tmp_path / "bin", node="echo v12.22.9", redis_server="echo 'Redis server v=6.0.16 sha=0'")
    result = set_up(path).stdout
    assert "make: node is missing: " in result
    assert "make: redis-server is missing: " in result


NEEDY = """
import pytest
from tests.support.needs import need

@pytest.mark.parametrize("number", [1, 2])
def test_a_test_that_needs_a_program(number):
    need("curl")

def test_a_test_that_needs_no_program():
    pass
"""


def run_needy(folder: Path, workers: int, **environment: str) -> "subprocess.CompletedProcess[str]":
    (folder / "test_needy.py").write_text(NEEDY)
    given = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST")}
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-n", str(workers)),
            *("--rootdir", folder, "-c", ROOT / "pyproject.toml", folder / "test_needy.py"),
        ],
        cwd=ROOT,
        env=given | {"PATH": str(tools(folder / "bin"))} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_end_of_a_run_names_the_tests_that_were_left_out(tmp_path: Path) -> None:
    result = run_needy(tmp_path, 2)
    assert result.returncode == 0, result.stdout + result.stderr
    _, _, end = result.stdout.partition(" left out ")
    assert "curl is missing: " in end
    assert end.count("test_needy.py::test_a_test_that_needs_a_program") == 1
    assert "test_a_test_that_needs_no_program" not in end
    assert "1 passed, 2 skipped" in end


def test_a_test_that_needs_a_missing_program_fails_in_ci(tmp_path: Path) -> None:
    result = run_needy(tmp_path, 0, CI="true")
    assert result.returncode == 1
    assert "2 failed, 1 passed" in result.stdout
    assert "curl is missing: " in result.stdout


def environment_of_its_own(folder: Path) -> Path:
    """Make a virtual environment with our packages, but without the project."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    found = subprocess.run(
        [folder / "bin" / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    (Path(found.stdout.strip()) / "ours.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def test_make_installs_a_command_that_runs_the_code_of_the_clone(tmp_path: Path) -> None:
    clone, venv = copy_of_the_project(tmp_path), environment_of_its_own(tmp_path / "venv")
    # What the code needs is there, and pip too.
    for name in ("bin/pip", ".runs"):
        (venv / name).touch()
    command = venv / "bin" / "discount"
    done = subprocess.run(["make", f"VENV={venv}", command], cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = subprocess.run([command, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "Create discounts for brands" in result
    changed = clone / "discount" / "cli" / "__init__.py"
    changed.write_text(changed.read_text(encoding="utf-8").replace("Create discounts for brands", "Something else"))
    result = subprocess.run([command, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "Something else" in result


def test_the_package_brings_every_file_of_the_project(tmp_path: Path) -> None:
    clone = copy_of_the_project(tmp_path)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--wheel-dir", tmp_path / "wheels", clone),
        ],
        check=True,
    )
    (wheel,) = (tmp_path / "wheels").iterdir()
    brought = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("discount/")}
    folder = ROOT / "discount"
    wanted = {str(each.relative_to(ROOT)) for each in folder.rglob("*") if each.is_file()}
    assert brought == {name for name in wanted if "__pycache__" not in name}


def copy_of_the_project(folder: Path) -> Path:
    """Copy the files that an installation needs, so that it leaves nothing in the clone."""
    clone = folder / "clone"
    shutil.copytree(ROOT / "discount", clone / "discount", ignore=shutil.ignore_patterns("__pycache__"))
    for file in (ROOT / "Makefile", ROOT / "pyproject.toml", *ROOT.glob("requirements*")):
        shutil.copy(file, clone)
    shutil.copytree(ROOT / ".ci", clone / ".ci")
    return clone
