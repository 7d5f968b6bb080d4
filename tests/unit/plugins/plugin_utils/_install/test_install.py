# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A first installation, as the controller sees it."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from unit.actions import options_of
from unit.fake_host import Clock, FakeHost, Scripted

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._build.settings import BuildContext
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._codes import Refusal
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host import connection, reboot
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer, HostError
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._install import install, installation
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._install.host_keys import (
    known_hosts_lines,
    public_half,
    public_keys,
)
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._install.settings import HostKey, InstallSettings

STORE = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz"
SYSTEM, SCRIPT, TOOL = f"{STORE}-nixos-system-web1", f"{STORE}-disko", f"{STORE}-nixos-install"
DISK = "/dev/disk/by-id/virtio-1"
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
PLAN = MappingProxyType(
    {"toplevel": SYSTEM, "devices": [DISK], "script": "diskoScript", "installs": True, "root": "/mnt"}
)
LOOKED: dict[str, str] = {"boot_id": "one", "installer": "/bin/nixos-install", "erases": f"{DISK} (vda, 9 MiB)"}
DONE: dict[str, Any] = {
    "step": "install",
    "log": "",
    "erased": "yes",
    "result": "ok",
    "host_key": f"{PUBLIC} root@nixos",
}
TOLD: dict[str, str] = {"boot_id": "one"}
UP: dict[str, str] = {"boot_id": "two", "manager": "running", "booted": SYSTEM}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (connection, reboot, installation, install):
        monkeypatch.setattr(module, "time", clock)
    return clock


def settings(host: FakeHost, **chosen: Any) -> InstallSettings:
    given = {"flake": ".", "disks": [DISK], "first_boot_timeout": 100}
    return InstallSettings.from_options(options_of("flake_install", **given | chosen), host)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clock: Clock) -> Any:
    """Install with these answers; the host and what came of it. What is built is there at once."""
    built = {"toplevel": SYSTEM, "diskoScript": SCRIPT, "nixos-install": TOOL}

    def build(_host: object, settings: Any, _context: object) -> tuple[dict[str, Any], Answer]:
        return {"toplevel": built[settings.attribute.rpartition(".")[2]]}, Answer()

    def go(*answers: Scripted, plan: Any = PLAN, check: bool = False, **chosen: Any) -> tuple[FakeHost, dict[str, Any]]:
        monkeypatch.setattr(install, "build", build)
        monkeypatch.setattr(install, "evaluated", lambda *_: plan)
        host = FakeHost(answers, clock=clock)
        context = BuildContext(check, lambda name: tmp_path / name)
        return host, install.install(host, settings(host, **chosen), context, tmp_path)

    return go


def test_installs_and_waits_for_the_key_that_it_has_given(run: Any) -> None:
    host, result = run(LOOKED, {"log": "", "step": "erase"}, DONE, TOLD, UP, installer_user="root")
    assert (result["state"], result["rebooted"], result["toplevel"]) == ("installed", True, SYSTEM)
    assert result["known_hosts"] == [f"192.0.2.1 {PUBLIC}"]
    # The key that root@nixos has, whatever else the installer says beside it.
    assert host.connections == ["as root", f"* {PUBLIC}\n", "as admin"]
    assert host.commands == ["install_look", "install", "install", "install_reboot", "reboot"]
    assert "generate=yes" in host.asked[1].inputs["values"]
    assert host.done()


def test_check_mode_and_a_host_that_is_installed_erase_nothing(run: Any) -> None:
    host, result = run(LOOKED, check=True)
    assert (result["state"], result["changed"], host.commands) == ("would-install", True, ["install_look"])
    assert "would erase" in host.told[-1]
    host, result = run({"runs": "yes"})
    assert (result["state"], result["changed"], host.commands) == ("unchanged", False, ["install_look"])


def test_installer_without_the_program_takes_the_flakes(run: Any) -> None:
    host, _result = run({**LOOKED, "installer": ""}, DONE, reboot=False)
    assert f"installer={TOOL}/bin/nixos-install" in host.asked[1].inputs["values"]
    with pytest.raises(HostError, match="nothing was erased") as failed:
        run({**LOOKED, "installer": ""}, plan={**PLAN, "installs": False})
    assert failed.value.reason == Refusal.NO_TOOL


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("disk-not-named", "--disk"),
        ("disk-in-use", "mdadm --stop"),
        ("runs-from-disk", "boot an installer"),
        ("no-disk", "deploy_flake_install_disks"),
    ],
)
def test_refusal_says_that_nothing_was_erased_and_what_to_do(run: Any, code: str, advice: str) -> None:
    with pytest.raises(HostError, match="nothing was erased") as failed:
        run({"refused": code, "message": "does not want to"})
    assert failed.value.reason == code
    assert advice in str(failed.value)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"devices": []}, Refusal.NO_DISKO),
        ({"script": ""}, Refusal.NO_DISKO),
        ({"root": "/"}, Refusal.NO_ANSWER),
        ({"toplevel": "--help"}, Refusal.NO_ANSWER),
        ({"devices": [f"{DISK}\n/dev/sda"]}, Refusal.NO_ANSWER),
    ],
)
def test_what_the_flake_says_is_not_believed(run: Any, wrong: dict[str, Any], reason: Refusal) -> None:
    with pytest.raises(HostError) as failed:
        run(plan={**PLAN, **wrong})
    assert failed.value.reason == reason


@pytest.mark.parametrize(
    ("result", "erased", "reason", "said"),
    [
        ("busy", "yes", "disk-in-use", "begins anew"),
        ("not-protected", "", "not-protected", "It has erased nothing"),
        ("disko-failed 7", "yes", "not-partitioned", "ended with 7"),
        ("disko-failed 124", "yes", "not-partitioned", "deploy_flake_install_timeout"),
        ("not-mounted", "yes", "not-mounted", "nothing mounted at /mnt"),
        ("keys-failed", "yes", "no-host-key", "host keys"),
        ("install-failed 1", "yes", "not-installed", "nixos-install ended with 1"),
        ("not-installed", "yes", "not-installed", "is not the new system"),
        ("stopped", "", "killed", "It has erased nothing"),
        ("killed", "yes", "killed", "nothing boots from them yet"),
        ("anything else", "yes", "killed", "nothing boots from them yet"),
    ],
)
def test_failure_says_where_the_host_stands(run: Any, result: str, erased: str, reason: str, said: str) -> None:
    log = base64.b64encode(b"the last line\n").decode()
    with pytest.raises(HostError) as failed:
        run(LOOKED, {"log": log, "step": "erase", "erased": erased, "result": result})
    text = str(failed.value)
    assert failed.value.reason == reason
    assert said in text and "run install again" in text and text.endswith("  the last line")
    assert failed.value.result == {"erased": "It has erased nothing" not in text}


def test_no_key_no_reboot(run: Any) -> None:
    with pytest.raises(HostError, match="was not rebooted") as failed:
        run(LOOKED, {**DONE, "host_key": "no key\n* ssh-ed25519 AAAA"})
    assert failed.value.reason == Refusal.NO_HOST_KEY


@pytest.mark.parametrize(("again", "reason"), [(True, "other-host-key"), (False, "not-back")])
def test_what_has_booted_has_another_key(run: Any, monkeypatch: pytest.MonkeyPatch, again: bool, reason: str) -> None:
    """Its own key is asked for until the limit, and the installer's only to say which it is."""

    def answers() -> Any:
        yield from (LOOKED, DONE, TOLD)
        for _each in range(200):
            yield AnsibleConnectionFailure("Host key verification failed")

    hosts: list[FakeHost] = []

    class Host(FakeHost):
        def run(self, command: str, /, **more: Any) -> Answer:
            hosts.append(self)
            if again and command == "reboot" and "-C" in self.connections:
                return Answer([("boot_id", "three"), ("manager", "running"), ("booted", "/nix/store/installer")])
            return super().run(command, **more)

    monkeypatch.setattr(f"{__name__}.FakeHost", Host)
    with pytest.raises(HostError) as failed:
        run(*answers())
    assert failed.value.reason == reason
    assert f"192.0.2.1 {PUBLIC}" in str(failed.value)
    assert hosts[-1].connections[-1] == "-C"


def test_another_controller_installs_the_same(run: Any) -> None:
    host, _result = run(LOOKED, {"attached": "yes", "log": "", "step": "install"}, DONE, reboot=False)
    assert any("following that" in text for text in host.told)


def test_host_keys_go_to_the_unit_alone(run: Any, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    content = (tmp_path / "key").read_text("utf-8")
    keys = [{"path": "/etc/ssh/ssh_host_ed25519_key", "content": content.strip()}]
    host, result = run(LOOKED, {**DONE, "host_key": []}, reboot=False, host_keys=keys)
    public = " ".join((tmp_path / "key.pub").read_text("utf-8").split()[:2])
    assert result["known_hosts"] == [f"192.0.2.1 {public}"]
    asked = host.asked[1].inputs
    assert base64.b64decode(asked["host_keys"].split()[1]).decode() == content
    assert not any("PRIVATE" in value for value in asked.values())
    assert not any("PRIVATE" in text for text in host.told)


def test_key_that_is_none_is_refused_before_anything(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="is not a private key") as failed:
        public_half(HostKey("/etc/ssh/key", "topsecret\n"), tmp_path)
    assert "topsecret" not in str(failed.value)
    assert not list(tmp_path.iterdir())


def test_nothing_but_keys_reaches_known_hosts() -> None:
    lines = [f"{PUBLIC} of root", "@cert-authority * ssh-rsa AAAA", f"* {PUBLIC}", "ssh-ed25519", PUBLIC]
    assert public_keys(lines) == [PUBLIC]
    assert known_hosts_lines("192.0.2.1", "2222", [PUBLIC]) == [f"[192.0.2.1]:2222 {PUBLIC}"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"disks": ["vda"]},
        {"disks": ["/dev/../etc/passwd"]},
        {"disks": ["/dev/vda /dev/vdb"]},
        {"attribute": "packages.x86_64-linux.hello"},
        {"host_keys": [{"path": "/etc/../key", "content": "x"}]},
        {"host_keys": [{"path": "etc/key", "content": "x"}]},
    ],
)
def test_bad_options(wrong: dict[str, Any]) -> None:
    with pytest.raises(HostError) as failed:
        settings(FakeHost(), **wrong)
    assert failed.value.reason == Refusal.BAD_OPTION


def test_what_is_built_beside_the_system() -> None:
    host = FakeHost()
    of_a_flake = settings(host).beside("config", "system", "build", "diskoScript").attribute
    assert of_a_flake == 'nixosConfigurations."host1".config.system.build.diskoScript'
    of_a_file = settings(host, file="default.nix").beside("config").attribute
    assert of_a_file == "config"
