# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the boot loaders' own files say they would start, in the shells that a host may have."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import join

pytestmark = pytest.mark.shell

SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
A, B, C = (f"/nix/store/{letter * 32}-nixos-system-web1" for letter in "abc")
UNTOLD = ""


@pytest.fixture(params=list(SHELLS))
def shell(request: pytest.FixtureRequest) -> list[str]:
    return SHELLS[request.param]


@dataclass
class Found:
    """What `ask_loader` says, and whether it would be said of A that the loader starts it."""

    loader: str
    starts: str
    why: str
    names: int
    lacks: str
    """A boot partition that is not mounted."""


@dataclass
class Host:
    """The directories of a boot loader, below one of the test's own."""

    root: Path
    shell: list[str]
    mounts: dict[str, str] = field(default_factory=lambda: {"boot": "vfat"})
    """Where something is mounted, and its type."""
    fstab: str = ""

    def put(self, files: Mapping[str, str], at: str = "boot") -> None:
        for name, text in files.items():
            path = self.root / at / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def ask(self, system: str = A, user: int | None = None) -> Found:
        mounts = "".join(
            f"{number} 1 0:{number} / {self.root / at} rw shared:1 - {kind} device rw\n"
            for number, (at, kind) in enumerate(self.mounts.items(), 100)
        )
        self.put({"mountinfo": f"22 1 0:5 / / rw - ext4 device rw\n{mounts}", "fstab": self.fstab}, at=".")
        script = f"""{join("lib/boot_loader")}
            PATH='{os.environ["PATH"]}'
            boot_places='{self.root}/boot {self.root}/efi {self.root}/boot/efi'
            mount_table={self.root}/mountinfo mounts_wanted={self.root}/fstab
            mount_units={self.root}/units efi_variables={self.root}/efivars
            names=0
            loader_names {system} || names=$?
            printf '%s\\n' "$loader" "$loader_starts" "$loader_why" "$names" "$loader_lacks"
        """
        done = subprocess.run(
            [*self.shell, "-eu"], input=script, capture_output=True, timeout=30, text=True, check=False, user=user
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        loader, starts, why, names, lacks = done.stdout.split("\n")[:5]
        return Found(loader, starts, why, int(names), lacks)


@pytest.fixture
def host(tmp_path: Path, shell: list[str]) -> Host:
    return Host(tmp_path, shell)


def entry(system: str, **fields: str) -> str:
    """An entry as NixOS writes it, its kernel and initrd being there."""
    lines = {"title": "NixOS", "linux": "/EFI/nixos/kernel.efi", "initrd": "/EFI/nixos/initrd.efi"} | fields
    options = "" if "efi" in fields else f"options init={system}/init loglevel=4\n"
    return "".join(f"{key.replace('_', '-')} {value}\n" for key, value in lines.items() if value) + options


def entries(**systems: str) -> dict[str, str]:
    """systemd-boot's, `a_b` for the generation a+b."""
    return {
        "EFI/nixos/kernel.efi": "kernel\n",
        "EFI/nixos/initrd.efi": "initrd\n",
        **{
            f"loader/entries/nixos-generation-{name.replace('_', '+', 1).replace('_', '-')}.conf": entry(
                system, sort_key="nixos", version=f"Generation {name} NixOS 25.11"
            )
            for name, system in ((key.removeprefix("g"), value) for key, value in systems.items())
        },
    }


def loader_conf(*lines: str) -> dict[str, str]:
    return {"loader/loader.conf": "".join(f"{line}\n" for line in ("timeout 5", *lines))}


# --- systemd-boot ---


@pytest.mark.parametrize(
    ("conf", "systems", "starts"),
    [
        (["default nixos-generation-2.conf"], {"g1": B, "g2": A}, A),
        (["default nixos-generation-1.conf"], {"g1": B, "g2": A}, B),
        (["  default\t nixos-generation-1.conf "], {"g1": B, "g2": A}, B),
        (["default nixos-generation-1.conf", "default nixos-generation-2.conf"], {"g1": B, "g2": A}, A),
        (["#default nixos-generation-1.conf", "default nixos-generation-2.conf"], {"g1": B, "g2": A}, A),
        # A pattern, or no default, that is one entry; the order of several is not known here.
        (["default nixos-generation-*"], {"g1": B}, B),
        (["default nixos-generation-?.conf"], {"g9": A, "g10": B}, A),
        (["default nixos-generation-[19].conf"], {"g9": A, "g10": B}, A),
        (["default nixos-*"], {"g1": A, "g2": A}, UNTOLD),
        (["default nixos-*"], {}, UNTOLD),
        ([], {"g1": A}, A),
        ([], {"g1": A, "g2": A}, UNTOLD),
        ([], {}, UNTOLD),
        # Without .conf it is no entry of today's releases, and one of old ones.
        (["default nixos-generation-1"], {"g1": A, "g2": B}, UNTOLD),
        (["default @saved"], {"g1": A}, UNTOLD),
        # Tries that are counted are part of the name for some releases.
        (["default nixos-generation-1.conf"], {"g1_3": A, "g2": B}, UNTOLD),
        (["default nixos-generation-1.conf"], {"g1_3": B, "g1": A}, UNTOLD),
        (["default nixos-*"], {"g2_1_2": A}, UNTOLD),
        # NixOS with tries of booting: the releases that know the word take them for no part of the name.
        (["preferred nixos-generation-1.conf", "default nixos-*"], {"g1_3": A, "g2": B}, A),
        (["default nixos-*", "preferred nixos-generation-1.conf"], {"g1_1_2": A, "g2": B}, A),
        (["preferred nixos-generation-1.conf", "default nixos-*"], {"g1": A, "g2": B}, A),
        (["preferred nixos-generation-2.conf", "default nixos-*"], {"g1": A, "g2_0_3": B}, UNTOLD),
    ],
)
def test_systemd_boot(host: Host, conf: list[str], systems: dict[str, str], starts: str) -> None:
    host.put(loader_conf(*conf) | entries(**systems))
    found = host.ask(starts or A)
    assert (found.loader, found.starts, found.names) == ("systemd-boot", starts, 0 if starts else 2)
    assert bool(found.why) == (not starts)


@pytest.mark.parametrize("gone", ["kernel", "initrd"])
def test_an_entry_that_lacks_what_it_starts(host: Host, gone: str) -> None:
    host.put(loader_conf("default nixos-generation-2.conf") | entries(g1=B, g2=A))
    (host.root / f"boot/EFI/nixos/{gone}.efi").unlink()
    found = host.ask(A)
    assert (found.starts, found.names) == ("", 1)
    assert found.why.endswith(f"{gone}.efi, which is not there")


def test_a_default_that_is_not_there(host: Host) -> None:
    host.put(loader_conf("default nixos-generation-2.conf") | entries(g1=A))
    found = host.ask(A)
    assert (found.loader, found.starts, found.names) == ("systemd-boot", "", 1)
    assert found.why.endswith("/loader/entries/nixos-generation-2.conf, which is not there")


def test_the_last_init_counts_and_options_may_have_several_lines(host: Host) -> None:
    text = entry(B) + f"options rdinit=/x init={A}/init\n"
    host.put(loader_conf("default nixos-generation-1.conf") | entries())
    host.put({"loader/entries/nixos-generation-1.conf": text})
    assert host.ask().starts == A


@pytest.mark.parametrize("init", ["/bin/sh", f"{A}/specialisation/x/init", "/nix/store//init", f"{A}", f"{A}/init2"])
def test_an_entry_of_something_else(host: Host, init: str) -> None:
    text = entry(A).replace(f"init={A}/init", f"init={init}")
    host.put(loader_conf("default nixos-generation-1.conf") | entries())
    host.put({"loader/entries/nixos-generation-1.conf": text})
    found = host.ask()
    assert (found.starts, found.names) == ("", 2)
    assert "not one of NixOS" in found.why


def test_a_specialisation_is_a_system_of_its_own(host: Host) -> None:
    host.put(loader_conf("default nixos-generation-2-specialisation-debug.conf") | entries(g2=A))
    host.put({"loader/entries/nixos-generation-2-specialisation-debug.conf": entry(B)})
    found = host.ask(A)
    assert (found.starts, found.names) == (B, 1)


def test_a_wrapped_system_has_the_init_of_the_one_in_it(host: Host) -> None:
    host.put(loader_conf("default nixos-generation-1.conf") | entries(g1=A))
    wrapped = host.root / "wrapped"
    wrapped.mkdir()
    (wrapped / "init").symlink_to(f"{A}/init")
    assert host.ask(str(wrapped)).names == 0
    (wrapped / "init").unlink()
    (wrapped / "init").symlink_to(f"{B}/init")
    assert host.ask(str(wrapped)).names == 1


def test_entries_on_a_partition_beside_the_loaders(host: Host) -> None:
    host.mounts = {"efi": "vfat", "boot": "vfat"}
    host.put(loader_conf("default nixos-generation-2.conf"), at="efi")
    host.put(entries(g1=B, g2=A))
    assert host.ask().starts == A


def test_a_loader_on_another_mount(host: Host) -> None:
    host.mounts = {"somewhere": "vfat"}
    host.put(loader_conf("default nixos-generation-2.conf") | entries(g2=A), at="somewhere")
    assert host.ask().starts == A


@pytest.mark.parametrize("variable", ["LoaderEntryDefault", "LoaderEntryPreferred"])
def test_a_choice_that_the_firmware_keeps(host: Host, variable: str) -> None:
    host.put(loader_conf("default nixos-generation-2.conf") | entries(g2=A))
    host.put({f"{variable}-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f": ""}, at="efivars")
    found = host.ask()
    assert (found.loader, found.starts, found.names) == ("systemd-boot", "", 2)
    assert "EFI variable" in found.why


def test_unified_kernel_images(host: Host) -> None:
    host.put(loader_conf("default nixos-*") | {"EFI/Linux/nixos-generation-1-abc.efi": ""})
    found = host.ask()
    assert (found.loader, found.starts, found.names) == ("systemd-boot", "", 2)
    assert "unified kernel image" in found.why


def test_systemd_boot_reads_no_directory_of_the_root_file_system(host: Host) -> None:
    host.mounts = {}
    host.put(loader_conf("default nixos-generation-2.conf") | entries(g2=A))
    found = host.ask()
    assert (found.starts, found.names) == ("", 2)
    assert "no file system of its own" in found.why


# --- mounts ---


@pytest.mark.parametrize("at", ["boot", "efi", "boot/efi"])
@pytest.mark.parametrize("said_by", ["fstab", "unit"])
@pytest.mark.parametrize("there", ["", "autofs"])
def test_what_should_be_mounted_and_is_not(host: Host, at: str, said_by: str, there: str) -> None:
    host.put({"grub/grub.cfg": grub_cfg()})
    host.mounts = {at: there} if there else {}
    (host.root / at).mkdir(parents=True, exist_ok=True)
    assert host.ask().names == 0
    if said_by == "fstab":
        host.fstab = f"/dev/sda2 / ext4 defaults 0 1\n/dev/disk/by-label/BOOT {host.root}/{at} vfat umask=0077 0 2\n"
    else:
        unit = f"{host.root}/{at}.mount".strip("/").replace("/", "-")
        host.put({unit: "[Mount]\n"}, at="units")
    found = host.ask()
    assert (found.loader, found.starts, found.names) == ("unknown", "", 2)
    assert (found.lacks, found.why) == (f"{host.root}/{at}", f"{host.root}/{at} should be mounted, and is not")
    host.mounts = {at: "vfat"}
    assert (host.ask().names, host.ask().lacks) == (0, "")


def test_a_comment_in_fstab_wants_nothing(host: Host) -> None:
    host.put({"grub/grub.cfg": grub_cfg()})
    host.mounts = {}
    host.fstab = f"#/dev/sda1 {host.root}/boot vfat\n# {host.root}/boot\n"
    assert host.ask().names == 0


def test_no_loader(host: Host) -> None:
    found = host.ask()
    assert (found.loader, found.starts, found.names) == ("unknown", "", 2)
    assert "no files of a boot loader" in found.why


def test_without_the_right_to_read(shell: list[str]) -> None:
    # Root reads everything, and nobody else may look into the directories of pytest.
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        host = Host(Path(root), shell)
        host.put(loader_conf("default nixos-generation-2.conf") | entries(g2=A))
        os.chmod(f"{root}/boot", 0o700 if os.geteuid() == 0 else 0)
        found = host.ask(user=65534 if os.geteuid() == 0 else None)
        os.chmod(f"{root}/boot", 0o700)
    assert (found.loader, found.starts, found.names) == ("unknown", "", 2)
    assert found.why == f"{root}/boot cannot be read"


# --- GRUB ---


def grub_entry(title: str, system: str, more: str = "--class nixos --unrestricted") -> str:
    return f"""menuentry "{title}" {more} {{
search --set=drive1 --fs-uuid 1234-ABCD
  linux ($drive1)/nix/store/x-linux/bzImage init={system}/init loglevel=4
  initrd ($drive1)/nix/store/x-initrd/initrd
}}
"""


def grub_cfg(default: str = "0", top: str | None = None, before: str = "", after: str = "") -> str:
    """As NixOS writes it: A is the default, in the submenu C and B."""
    return f"""# Make sure default.vars are set
if [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${{next_entry}}" ]; then
  set default="${{next_entry}}"
  set next_entry=
  save_env next_entry
  set timeout=1
  set boot_once=true
else
  set default={default}
  set timeout=5
fi
function savedefault {{
    if [ -z "${{boot_once}}"]; then
        saved_entry="${{chosen}}"
        save_env saved_entry
    fi
}}
if [ "${{grub_platform}}" = "efi" ]; then
  insmod efi_gop; insmod efi_uga
fi
{before}
{grub_entry("NixOS - Default", A) if top is None else top}
{after}
submenu "NixOS - All > configurations" --class submenu {{
{grub_entry("NixOS - Configuration 3 (2026-01-01 - 25.11)", C)}
{grub_entry("NixOS - Configuration 2 (2026-01-01 - 25.11)", B, "--class nixos --id 'nixos-2'")}
}}
"""


MEMTEST = 'menuentry "Memtest86+" {\n  linux16 @bootRoot@/memtest.bin\n}\n'
SUBMENU = "NixOS - All >> configurations"


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        (grub_cfg(), A),
        (grub_cfg('"0"'), A),
        (grub_cfg('""'), A),
        (grub_cfg().replace("  set default=0\n", ""), A),
        (grub_cfg('"NixOS - Default"'), A),
        # What is not there stands for the first entry.
        (grub_cfg("7"), A),
        (grub_cfg('"Gone"'), A),
        (grub_cfg('"1>0"'), C),
        (grub_cfg('"1>1"'), B),
        (grub_cfg('"1>nixos-2"'), B),
        (grub_cfg(f'"{SUBMENU}>NixOS - Configuration 2 (2026-01-01 - 25.11)"'), B),
        (grub_cfg(f'"{SUBMENU}>1"'), B),
        (grub_cfg("1"), UNTOLD),
        (grub_cfg('"1 and more"'), UNTOLD),
        (grub_cfg("00"), UNTOLD),
        (grub_cfg('"${something}"'), UNTOLD),
        (grub_cfg(before="set default=1"), UNTOLD),
        (grub_cfg(before="set default=0"), A),
        # Other entries before it.
        (grub_cfg(before=MEMTEST), UNTOLD),
        (grub_cfg("1", before=MEMTEST), A),
        (grub_cfg("1", before='menuentry "Off" { halt }\n'), A),
        (grub_cfg(after=MEMTEST), A),
        (grub_cfg("1", before=f'if [ "$grub_platform" = efi ]; then\n{MEMTEST}fi\n'), UNTOLD),
        (grub_cfg(after=f'if [ "$grub_platform" = efi ]; then\n{MEMTEST}fi\n'), A),
        (grub_cfg(before="source $prefix/custom.cfg"), UNTOLD),
        (grub_cfg(after="source $prefix/custom.cfg"), A),
        (grub_cfg().partition("menuentry")[0], UNTOLD),
        (grub_cfg().replace("init=", "x="), UNTOLD),
        ("", UNTOLD),
    ],
)
def test_grub(host: Host, text: str, starts: str) -> None:
    host.mounts = {}
    host.put({"grub/grub.cfg": text})
    found = host.ask(starts or A)
    assert (found.loader, found.starts, found.names) == ("grub", starts, 0 if starts else 2)
    assert bool(found.why) == (not starts)


def grubenv(*lines: str) -> dict[str, str]:
    text = "".join(f"{line}\n" for line in ("# GRUB Environment Block", *lines))
    return {"grub/grubenv": text.ljust(1024, "#")}


@pytest.mark.parametrize(
    ("block", "starts"),
    [
        ({}, A),
        (grubenv(), A),
        (grubenv("saved_entry=NixOS - Default"), A),
        (grubenv(f"saved_entry={SUBMENU}>NixOS - Configuration 2 (2026-01-01 - 25.11)"), B),
        # That is for one boot.
        (grubenv("next_entry=1>1"), A),
        (grubenv("next_entry=1>1", "saved_entry=1>0"), C),
        (grubenv("saved_entry=a\\\\b"), UNTOLD),
    ],
)
@pytest.mark.parametrize("default", ['"${saved_entry}"', "$saved_entry"])
def test_grub_with_an_entry_that_was_saved(host: Host, default: str, block: dict[str, str], starts: str) -> None:
    host.put({"grub/grub.cfg": grub_cfg(default)} | block)
    found = host.ask(A)
    assert (found.loader, found.starts) == ("grub", starts)
    assert found.names == (0 if starts == A else 1 if starts else 2)


@pytest.mark.parametrize("gone", ["bzImage", "initrd"])
def test_grub_whose_kernels_are_on_the_boot_partition(host: Host, gone: str) -> None:
    text = grub_cfg().replace("/nix/store/x-linux/", "//kernels/").replace("/nix/store/x-initrd/", "//kernels/")
    host.put({"grub/grub.cfg": text, "kernels/bzImage": "k", "kernels/initrd": "i"})
    assert host.ask().names == 0
    (host.root / "boot/kernels" / gone).write_text("")
    assert host.ask().why.endswith(f"{gone}, which is empty")
    (host.root / "boot/kernels" / gone).unlink()
    found = host.ask()
    assert (found.starts, found.names) == ("", 1)
    assert found.why.endswith(f"{gone}, which is not there")


# --- extlinux ---


def extlinux_conf(default: str = "nixos-default", first: str = A) -> dict[str, str]:
    def label(tag: str, system: str) -> str:
        return f"""
LABEL nixos-{tag}
  MENU LABEL NixOS - Configuration {tag}
  LINUX ../nixos/kernel-Image
  INITRD ../nixos/initrd-initrd
  APPEND init={system}/init loglevel=4
  FDTDIR ../nixos/dtbs
"""

    text = (
        f"DEFAULT {default}\n\nMENU TITLE ------\nTIMEOUT 50\n{label('default', first)}{label('2', B)}{label('1', C)}"
    )
    return {"extlinux/extlinux.conf": text, "nixos/kernel-Image": "k", "nixos/initrd-initrd": "i"}


@pytest.mark.parametrize(
    ("files", "starts"),
    [
        (extlinux_conf(), A),
        (extlinux_conf("nixos-2"), B),
        (extlinux_conf("nixos-1"), C),
        (extlinux_conf("nixos-7"), UNTOLD),
        ({"extlinux/extlinux.conf": extlinux_conf()["extlinux/extlinux.conf"].replace("DEFAULT", "#")}, UNTOLD),
        ({"extlinux/extlinux.conf": extlinux_conf()["extlinux/extlinux.conf"] + "DEFAULT nixos-2\n"}, UNTOLD),
        ({"extlinux/extlinux.conf": extlinux_conf()["extlinux/extlinux.conf"] + "  MENU DEFAULT\n"}, UNTOLD),
        ({"extlinux/extlinux.conf": extlinux_conf()["extlinux/extlinux.conf"] + "INCLUDE more.conf\n"}, UNTOLD),
        ({"extlinux/extlinux.conf": ""}, UNTOLD),
    ],
)
def test_extlinux(host: Host, files: dict[str, str], starts: str) -> None:
    host.mounts = {}
    host.put(extlinux_conf() | files)
    found = host.ask(starts or A)
    assert (found.loader, found.starts, found.names) == ("extlinux", starts, 0 if starts else 2)


def test_extlinux_whose_kernel_is_not_there(host: Host) -> None:
    host.put(extlinux_conf())
    (host.root / "boot/nixos/kernel-Image").unlink()
    found = host.ask()
    assert (found.starts, found.names) == ("", 1)


# --- several ---


@pytest.mark.parametrize(("system", "names"), [(A, 0), (B, 2)])
def test_files_of_two_loaders(host: Host, system: str, names: int) -> None:
    host.put(loader_conf("default nixos-generation-2.conf") | entries(g2=system))
    host.put({"grub/grub.cfg": grub_cfg()})
    found = host.ask(A)
    assert found.names == names
    assert (found.loader, found.starts) == (("systemd-boot", A) if names == 0 else ("unknown", ""))
    assert ("two boot loaders" in found.why) == (names != 0)


def test_the_same_loader_twice(host: Host) -> None:
    host.mounts = {"boot": "vfat", "efi": "vfat"}
    for at in host.mounts:
        host.put(loader_conf("default nixos-generation-2.conf") | entries(g2=A), at=at)
    assert (host.ask().loader, host.ask().names) == ("systemd-boot", 0)


def test_two_loaders_of_a_kind_have_entries_of_their_own(host: Host) -> None:
    host.mounts = {"boot": "vfat", "efi": "vfat"}
    host.put(loader_conf("default nixos-generation-2.conf") | entries(g2=A))
    host.put(loader_conf("default nixos-generation-2.conf") | entries(g2=B), at="efi")
    found = host.ask()
    assert (found.loader, found.starts, found.names) == ("systemd-boot", "", 2)


@pytest.mark.parametrize(
    ("started_by", "newer", "starts"),
    [
        ("systemd-boot 257.6", "loader/loader.conf", B),
        ("GRUB 2.12", "grub/grub.cfg", A),
        # Another loader was installed since, or it was not.
        ("systemd-boot 257.6", "grub/grub.cfg", UNTOLD),
        ("GRUB 2.12", "loader/loader.conf", UNTOLD),
        ("rEFInd 0.14", "loader/loader.conf", UNTOLD),
    ],
)
def test_what_started_the_host_tells_which_files_are_left_over(
    host: Host, started_by: str, newer: str, starts: str
) -> None:
    host.put(loader_conf("default nixos-generation-2.conf") | entries(g2=B) | {"grub/grub.cfg": grub_cfg()})
    text = f"\x06\0\0\0{started_by}".encode("utf-16-le").decode("latin-1")
    host.put({"LoaderInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f": text}, at="efivars")
    for file in ("loader/loader.conf", "grub/grub.cfg"):
        os.utime(host.root / "boot" / file, (0, 2000 if file == newer else 1000))
    found = host.ask(starts or A)
    assert (found.starts, found.names) == (starts, 0 if starts else 2)
    assert found.loader == {A: "grub", B: "systemd-boot", UNTOLD: "unknown"}[starts]


# --- who asks ---


@pytest.mark.parametrize(("names", "unchanged"), [(0, True), (1, False), (2, True)])
def test_unchanged_is_what_the_loader_does_not_contradict(shell: list[str], names: int, unchanged: bool) -> None:
    script = f"""{join("lib/system")}
        loader_names() {{ [ "$1" = {A} ] || exit 3; return {names}; }}
        new={A} new_live={A} default={A} live={A} mode=test var_dir=/nowhere run_dir=/nowhere
        is_unchanged || exit 1
    """
    done = subprocess.run([*shell, "-eu"], input=script, capture_output=True, timeout=30, text=True, check=False)
    assert (done.returncode, done.stderr) == (0 if unchanged else 1, "")


@pytest.mark.parametrize(
    ("lacks", "allow", "refused"), [("", "", ""), ("/boot", "", "boot-not-mounted"), ("/boot", "boot_not_mounted", "")]
)
def test_boot_partition_that_is_not_mounted_is_refused(shell: list[str], lacks: str, allow: str, refused: str) -> None:
    script = f"""{join("lib/preflight")}
        ask_loader() {{ loader_lacks={lacks}; }}
        tested_boot_default() {{ :; }}
        boot_files_fit() {{ :; }}
        drop_all_roots() {{ :; }}
        new={A} default={A} live={A} mode=test allow={allow} need_nix_kib=0 need_boot_kib= from= keeps_system=no
        var_dir=/nowhere run_dir=/nowhere
        look_at_host
    """
    done = subprocess.run([*shell, "-eu"], input=script, capture_output=True, timeout=30, text=True, check=True)
    fields = done.stdout.split("\0")
    assert (fields[1] if "refused" in fields else "") == refused
