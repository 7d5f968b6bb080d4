# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checks of `make lint`, one function each. Each tells whether it found nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tools import collection, environments, generated
from tools.environments import Environment
from tools.host_scripts import SCRIPTS, host_scripts
from tools.sanity import sanity
from tools.shell import BUILD, ROOT, need_programs, run, say
from tools.wheel import typed

PROGRAMS = {"shellcheck": "shellcheck"}
COLLECTIONS = BUILD / "lint"


def every_check() -> list[str]:
    """Run every check, whatever the one before it found; say which found something."""
    need_programs(PROGRAMS)
    environment = environments.for_checks()
    collection.install(environment)
    tree = collection.copy_tree(COLLECTIONS)
    checks: dict[str, Callable[[Environment, Path], bool]] = {
        "generated files": generated.check,
        "ruff": ruff,
        "mypy": mypy,
        "types of the wheel": typed,
        "shellcheck": shellcheck,
        "host scripts": host_scripts,
        "antsibull-changelog": changelog,
        "antsibull-docs": docs,
        "ansible-lint": ansible_lint,
        "galaxy-importer": importer,
        "ansible-test sanity": sanity,
    }
    failed = []
    for name, check in checks.items():
        say(name)
        start = time.monotonic()
        if not check(environment, tree):
            failed.append(name)
        say(f"{name}: {'FAILED' if name in failed else 'passed'} ({time.monotonic() - start:.0f} s)")
    return failed


def ruff(environment: Environment, _tree: Path) -> bool:
    checked = run([environment.bin / "ruff", "check", "--output-format=concise"])
    formatted = run([environment.bin / "ruff", "format", "--check"])
    return checked and formatted


def mypy(environment: Environment, tree: Path) -> bool:
    """Below the place that the collection's files import each other from; packages of their own go beside it.

    What draws has an environment of its own, with types that are not here.
    """
    packages = ("bench", "deploy_flake")
    for package in packages:
        (COLLECTIONS / package).symlink_to(tree / package)
    files = [
        COLLECTIONS / name if name.parts[0] in packages else tree / name
        for name in _files(tree)
        if (name.suffix == ".py" and name != Path("bench/plot.py")) or _interpreter(tree / name) == "python3"
    ]
    return run(
        [environment.bin / "mypy", "--config-file", ROOT / "pyproject.toml", *files],
        cwd=COLLECTIONS,
        env={"MYPYPATH": f"{COLLECTIONS}:{tree / 'tests'}", "MYPY_CACHE_DIR": str(BUILD / "mypy")},
    )


def shellcheck(_environment: Environment, tree: Path) -> bool:
    """A script without a first line that names its shell is for sh. Those for the hosts have a check of their own."""
    scripts = [name for name in _files(tree) if _is_shell_script(tree / name) and SCRIPTS not in name.parents]
    whole = [name for name in scripts if _interpreter(tree / name)]
    parts = [name for name in scripts if name not in whole]
    # What .shellcheckrc leaves out is for the parts of a program.
    command = ["shellcheck", "--norc", "--exclude=SC2015"]
    return all(
        [
            not whole or run([*command, *whole], cwd=tree),
            not parts or run([*command, "--shell=sh", *parts], cwd=tree),
        ]
    )


def changelog(environment: Environment, tree: Path) -> bool:
    return run([environment.bin / "antsibull-changelog", "lint"], cwd=tree)


def docs(environment: Environment, tree: Path) -> bool:
    options: list[str | Path] = ["--plugin-docs", "--check-extra-docs-refs"]
    options += ["--validate-collection-refs=all", "--disallow-unknown-collection-refs", tree]
    return run(
        [environment.bin / "antsibull-docs", "lint-collection-docs", *options],
        cwd=tree,
        env=_found(environment, COLLECTIONS),
    )


def ansible_lint(environment: Environment, tree: Path) -> bool:
    options: list[str | Path] = ["--offline", "--strict", "--nocolor", f"--project-dir={tree}"]
    return run([environment.bin / "ansible-lint", *options], cwd=tree, env=_found(environment, COLLECTIONS))


def importer(_environment: Environment, _tree: Path) -> bool:
    """What Galaxy itself looks at, in the tarball that a user would get."""
    environment = environments.for_importer()
    (tarball,) = BUILD.glob("deploy_flake-nixos-*.tar.gz")
    config = BUILD / "galaxy-importer.cfg"
    # ansible-lint has a check of its own.
    config.write_text("[galaxy-importer]\nRUN_ANSIBLE_LINT = False\nRUN_ANSIBLE_TEST = False\nRUN_FLAKE8 = False\n")
    env = {**_found(environment, collection.COLLECTIONS), "GALAXY_IMPORTER_CONFIG": str(config)}
    work = BUILD / "importer"
    work.mkdir(exist_ok=True)
    return run([environment.bin / "python", "-m", "galaxy_importer.main", tarball], cwd=work, env=env)


def _found(environment: Environment, collections: Path) -> dict[str, str]:
    """Environment variables with which a tool finds the collection, its own programs, and not the user's home."""
    home = BUILD / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(BUILD / "ansible"),
        "HOME": str(home),
        "PATH": environment.path_variable(),
    }


def _files(tree: Path) -> list[Path]:
    return sorted(path.relative_to(tree) for path in tree.rglob("*") if path.is_file() and ".git" not in path.parts)


def _interpreter(path: Path) -> str:
    """The program that the first line names, be it by `env` or not; empty if it names none."""
    with path.open("rb") as file:
        line = file.readline(200)
    words = line.removeprefix(b"#!").decode().split() if line.startswith(b"#!") else []
    named = words[1:2] if words and words[0].endswith("/env") else words[:1]
    return Path(named[0]).name if named else ""


def _is_shell_script(path: Path) -> bool:
    return path.suffix == ".sh" or _interpreter(path) in {"sh", "dash", "bash"}
