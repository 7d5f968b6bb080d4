# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a system only a reboot brings: all that the boot loader hands over to the kernel; and a system's revision."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

pytestmark = pytest.mark.shell
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))

LINKS = {"initrd": "i1", "kernel": "k1", "kernel-modules": "m1", "append-initrd-secrets": "s1", "dtbs": "d1"}


def system(
    directory: Path, links: dict[str, str], params: str | None = "loglevel=4 quiet", tree: str | None = None
) -> None:
    """A system whose parts are links to files of these names."""
    directory.mkdir()
    for name, target in links.items():
        (directory.parent / target).touch()
        (directory / name).symlink_to(f"../{target}")
    if params is not None:
        (directory / "kernel-params").write_text(params)
    boots = {"org.nixos.bootspec.v1": {"label": directory.name, "init": f"{directory}/init"}}
    if tree:
        boots["org.nixos.systemd-boot"] = {"devicetree": tree}
    (directory / "boot.json").write_text(json.dumps(boots))


def differs(shell: list[str], directory: Path) -> list[str]:
    text = join("lib/booted").replace("/run/booted-system", f"{directory}/booted") + f"\nother_parts {directory}/new\n"
    done = subprocess.run([*shell, "-s"], input=text, text=True, capture_output=True, check=True, timeout=30)
    assert not done.stderr, done.stderr
    return done.stdout.split()


@every_shell
@pytest.mark.parametrize("part", LINKS)
def test_each_part_by_itself(shell: list[str], tmp_path: Path, part: str) -> None:
    system(tmp_path / "booted", LINKS)
    system(tmp_path / "new", LINKS | {part: "another"})
    assert differs(shell, tmp_path) == [part]


@every_shell
@pytest.mark.parametrize(
    ("booted", "new", "differ"),
    [
        ("loglevel=4 quiet", "loglevel=4 quiet", False),
        # However it is written.
        ("loglevel=4 quiet", "loglevel=4  quiet\n", False),
        ("loglevel=4 quiet", "loglevel=4", True),
        ("loglevel=4 quiet", "quiet loglevel=4", True),
        ("console=* quiet", "console=x quiet", True),
        ("", None, False),
        (None, None, False),
        (None, "panic=60", True),
    ],
)
def test_kernel_parameters(shell: list[str], tmp_path: Path, booted: str | None, new: str | None, differ: bool) -> None:
    system(tmp_path / "booted", LINKS, booted)
    system(tmp_path / "new", LINKS, new)
    assert differs(shell, tmp_path) == (["kernel-params"] if differ else [])


@every_shell
def test_device_tree(shell: list[str], tmp_path: Path) -> None:
    """Another one of the same package; and a container, which boots no kernel."""
    system(tmp_path / "booted", {}, None, "/nix/store/x-dtbs/one.dtb")
    system(tmp_path / "new", {}, None, "/nix/store/x-dtbs/two.dtb")
    assert differs(shell, tmp_path) == ["devicetree"]


@every_shell
@pytest.mark.parametrize("indent", [None, 2])
def test_hypervisor(shell: list[str], tmp_path: Path, indent: int | None) -> None:
    """Another one, or other parameters of the same, as the boot specification has them."""
    boots = [
        {"efiPath": "/nix/store/x-xen/xen.efi", "params": ["dom0_mem=4G"]},
        {"efiPath": "/nix/store/x-xen/xen.efi", "params": ["dom0_mem=8G"]},
    ]
    for name, xen in zip(("booted", "new"), boots, strict=True):
        system(tmp_path / name, LINKS)
        spec = {"org.nixos.bootspec.v1": {"label": name}, "org.xenproject.bootspec.v2": xen}
        (tmp_path / name / "boot.json").write_text(json.dumps(spec, indent=indent))
    assert differs(shell, tmp_path) == ["xen"]
    (tmp_path / "new/boot.json").write_text((tmp_path / "booted/boot.json").read_text())
    assert differs(shell, tmp_path) == []


@every_shell
@pytest.mark.parametrize("what", ["xen.gz", "xen-params"])
def test_hypervisor_of_earlier_releases(shell: list[str], tmp_path: Path, what: str) -> None:
    for name in ("booted", "new"):
        system(tmp_path / name, LINKS | {"xen.gz": "x1"})
        (tmp_path / name / "xen-params").write_text("dom0_mem=4096M\n")
    assert differs(shell, tmp_path) == []
    if what == "xen.gz":
        (tmp_path / "x2").touch()
        (tmp_path / "new/xen.gz").unlink()
        (tmp_path / "new/xen.gz").symlink_to("../x2")
    else:
        (tmp_path / "new/xen-params").write_text("dom0_mem=8192M\n")
    assert differs(shell, tmp_path) == ["xen"]


@every_shell
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 1042fd8b148a", "1042fd8b148a"),
        ("echo 1042fd8b148a-dirty", "1042fd8b148a-dirty"),
        ('echo "$0: configuration revision is unknown" >&2; exit 1', ""),
        ('echo "$0: configuration revision is unknown"; exit 1', ""),
        # Before 22.05 it knows no such option.
        ('echo "20.09pre-git (Nightingale)"', ""),
        ('echo "21.11.337905.902d91def1e (Porcupine)"', ""),
    ],
)
def test_revision(shell: list[str], tmp_path: Path, script: str, said: str) -> None:
    tool = tmp_path / "sw/bin/nixos-version"
    tool.parent.mkdir(parents=True)
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    text = f"{join('lib/revision')}\nrevision_of {tmp_path}; revision_of ''\n"
    done = subprocess.run([*shell, "-s"], input=text, text=True, capture_output=True, check=True, timeout=30)
    assert (done.stdout.strip(), done.stderr) == (said, "")
