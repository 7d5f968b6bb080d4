# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A first installation, as the controller sees it."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure
from unit.actions import options_of
from unit.fake_host import Clock, FakeHost, Scripted

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._action import argument_spec
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
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._variables.names import types
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._variables.values import wrong

STORE = "/nix/store/0123456789abcdfghijklmnpqrsvwxyz"
SYSTEM, SCRIPT, TOOL = f"{STORE}-nixos-system-web1", f"{STORE}-disko", f"{STORE}-nixos-install"
DISK = "/dev/disk/by-id/virtio-1"
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
PLAN = MappingProxyType(
    {"toplevel": SYSTEM, "devices": [DISK], "script": "diskoScript", "installs": True, "root": "/mnt", "kind": ""}
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
    # It may be slow to let anybody in, so nobody gives up soon, as a reboot of a known system does.
    assert "soon" not in host.connections
    polls = [each.inputs for each in host.asked if each.command == "install"]
    assert [(each["begun"], each["boot_id"]) for each in polls] == [("no", "one"), ("yes", "one")]
    assert "keys=0" in polls[0]["values"]
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
        ("installed-system", "'installed_system' (deploy_flake_install_allow, --install-allow)"),
        ("has-data", "'data_on_disks' (deploy_flake_install_allow, --install-allow)"),
        ("disk-of-several", "wipefs --all"),
        ("no-disk", "deploy_flake_install_disks"),
    ],
)
def test_refusal_says_that_nothing_was_erased_and_what_to_do(run: Any, code: str, advice: str) -> None:
    refused = {"refused": code, "message": "does not want to"}
    # Also where it has changed since it was looked at.
    for answers in ((refused,), (LOOKED, refused)):
        with pytest.raises(HostError, match=r"; nothing was erased\. ") as failed:
            run(*answers)
        assert failed.value.reason == code
        assert advice in str(failed.value)


def test_refusal_after_an_attempt_does_not_say_that_nothing_was_erased(run: Any) -> None:
    refused = {"refused": "disk-in-use", "message": "has imported a ZFS pool: rpool", "erased": "yes"}
    for answers in ((refused,), ({**LOOKED, "erased": "yes"}, refused)):
        with pytest.raises(HostError, match="zpool export") as failed:
            run(*answers)
        assert "nothing was erased by this run, but" in str(failed.value)
        assert failed.value.result == {"erased": True}
    with pytest.raises(HostError, match="by this run, but"):
        run({**LOOKED, "installer": "", "erased": "yes"}, plan={**PLAN, "installs": False})


@pytest.mark.parametrize("code", ["rebooted", "killed"])
def test_what_was_begun_and_is_over_may_be_erased(run: Any, code: str) -> None:
    with pytest.raises(HostError, match="erased or may be") as failed:
        run(LOOKED, {"log": "", "step": "erase"}, {"refused": code, "message": "knows nothing of it"})
    assert (failed.value.reason, failed.value.result) == (code, {"erased": True})


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"devices": []}, Refusal.NO_DISKO),
        ({"script": ""}, Refusal.NO_DISKO),
        ({"kind": "tmpfs"}, Refusal.NO_DISKO),
        ({"root": "/"}, Refusal.NO_ANSWER),
        ({"root": "//"}, Refusal.NO_ANSWER),
        ({"root": "mnt"}, Refusal.NO_ANSWER),
        ({"more": "x"}, Refusal.NO_ANSWER),
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


def test_root_is_named_as_the_kernel_names_it(run: Any) -> None:
    host, _result = run(LOOKED, DONE, plan={**PLAN, "root": "//mnt/./new/"}, reboot=False)
    assert [each.inputs["root"] for each in host.asked] == ["/mnt/new", "/mnt/new"]


def test_no_key_no_reboot(run: Any) -> None:
    with pytest.raises(HostError, match="was not rebooted") as failed:
        run(LOOKED, {**DONE, "host_key": "no key\n* ssh-ed25519 AAAA"})
    assert failed.value.reason == Refusal.NO_HOST_KEY


@pytest.mark.parametrize(
    ("seen", "reason", "said"),
    [
        (None, "not-back", "Look at its console"),
        ({"boot_id": "one", "booted": "/nix/store/installer"}, "no-reboot", "Reboot it by hand"),
        ({"boot_id": "three", "booted": "/nix/store/installer"}, "other-system", "in place of"),
        ({"boot_id": "three", "booted": ""}, "other-system", "a system that is not NixOS"),
        ({"boot_id": "three", "booted": SYSTEM}, "other-host-key", "services.openssh.hostKeys"),
    ],
)
def test_who_answers_without_the_new_key_is_asked_what_it_is(
    run: Any, monkeypatch: pytest.MonkeyPatch, seen: dict[str, str] | None, reason: str, said: str
) -> None:
    """By the installer's key, once the limit is over: nothing is guessed from a key alone."""

    def answers() -> Any:
        yield from (LOOKED, DONE, TOLD)
        for _each in range(200):
            yield AnsibleConnectionFailure("Host key verification failed")

    hosts: list[FakeHost] = []

    class Host(FakeHost):
        def run(self, command: str, /, **more: Any) -> Answer:
            hosts.append(self)
            if seen and command == "reboot" and "-C" in self.connections:
                return Answer(list(seen.items()))
            return super().run(command, **more)

    monkeypatch.setattr(f"{__name__}.FakeHost", Host)
    with pytest.raises(HostError) as failed:
        run(*answers())
    assert failed.value.reason == reason
    assert said in str(failed.value) and f"192.0.2.1 {PUBLIC}" in str(failed.value)
    assert hosts[-1].connections[-1] == "-C"


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        (({"refused": "no-reboot", "message": "is installed, and could not begin to reboot"},), "no-reboot"),
        (({"refused": "busy", "message": "installs something again already"},), "busy"),
        ((TOLD, {**UP, "booted": "/nix/store/installer"}), "other-system"),
        ((TOLD, *({**UP, "manager": "starting"} for _each in range(200))), "not-up"),
    ],
)
def test_what_fails_after_the_installation_says_the_key(run: Any, answers: tuple[Scripted, ...], reason: str) -> None:
    with pytest.raises(HostError) as failed:
        run(LOOKED, DONE, *answers)
    line = f"192.0.2.1 {PUBLIC}"
    assert failed.value.reason == reason and line in str(failed.value)
    assert failed.value.result == {"erased": True, "known_hosts": [line]}


def test_key_is_said_before_the_reboot_and_by_a_host_that_is_installed(run: Any) -> None:
    """Whoever is killed meanwhile has said it, and the next run says it again."""
    line = f"192.0.2.1 {PUBLIC}"
    host, _result = run(LOOKED, DONE, TOLD, UP)
    said = [index for index, text in enumerate(host.told) if line in text]
    assert said and said[0] < host.told.index("is installed, and reboots into its new system")
    _host, result = run({"runs": "yes", "host_key": f"{PUBLIC} root@nixos"})
    assert result["known_hosts"] == [line]
    # It may have come up between the two.
    _host, result = run(LOOKED, {"runs": "yes", "host_key": PUBLIC})
    assert (result["state"], result["known_hosts"]) == ("unchanged", [line])


def test_installed_host_is_asked_as_its_own_user_once(run: Any) -> None:
    """And nothing is done there but to look: it may be any host."""
    nobody = AnsibleAuthenticationFailure("Permission denied (publickey)")
    host, result = run(nobody, {"runs": "yes"}, installer_user="root")
    assert (result["state"], host.connections) == ("unchanged", ["as root", "as admin"])
    for answer in (LOOKED, nobody, {"refused": "has-data", "message": "has something"}):
        with pytest.raises(AnsibleAuthenticationFailure):
            run(nobody, answer, installer_user="root")
    # Who is not there is not asked as another user.
    with pytest.raises(AnsibleConnectionFailure, match="timed out"):
        run(AnsibleConnectionFailure("timed out"), installer_user="root")
    with pytest.raises(AnsibleAuthenticationFailure):
        run(nobody)


def test_another_controller_installs_the_same(run: Any) -> None:
    host, _result = run(LOOKED, {"attached": "yes", "log": "", "step": "install"}, DONE, reboot=False)
    assert any("following that" in text for text in host.told)


def test_place_of_a_key_is_part_of_what_is_installed(run: Any, tmp_path: Path) -> None:
    """Whoever wants the same key elsewhere does not follow an installation that puts it here."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    content = (tmp_path / "key").read_text("utf-8")
    jobs = set()
    for path in ("/etc/ssh/ssh_host_ed25519_key", "/persist/ssh_host_ed25519_key"):
        keys = [{"path": path, "content": content}]
        host, _result = run(LOOKED, DONE, reboot=False, host_keys=keys)
        jobs.add(host.asked[1].inputs["job"])
        assert "keys=1" in host.asked[1].inputs["values"]
    assert len(jobs) == 2


def test_host_keys_go_to_the_unit_alone(run: Any, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    content = (tmp_path / "key").read_text("utf-8")
    keys = [{"path": "/etc/ssh/ssh_host_ed25519_key", "content": content.strip()}]
    host, result = run(LOOKED, {**DONE, "host_key": []}, reboot=False, host_keys=keys)
    public = " ".join((tmp_path / "key.pub").read_text("utf-8").split()[:2])
    assert result["known_hosts"] == [f"192.0.2.1 {public}"]
    asked = host.asked[1].inputs
    assert base64.b64decode(asked["host_keys"].split()[1]).decode() == content
    secret = asked["host_keys"].split()[1]
    for text in (*host.told, *(str(value) for name, value in asked.items() if name != "host_keys")):
        assert secret not in text and "PRIVATE" not in text and content.splitlines()[1] not in text


def test_key_that_is_none_is_refused_before_anything() -> None:
    with pytest.raises(HostError, match="is not a private key") as failed:
        public_half(HostKey("/etc/ssh/key", "topsecret\n"))
    assert "topsecret" not in str(failed.value)


def test_key_is_in_no_file_of_the_controller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One would be left behind by whoever is killed."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    program = tmp_path / "ssh-keygen"
    real = shutil.which("ssh-keygen")
    program.write_text(f'#!/bin/sh\nfor each; do [ ! -f "$each" ] || exit 1; done\nexec {real} "$@"\n', "utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    public = " ".join((tmp_path / "key.pub").read_text("utf-8").split()[:2])
    assert public_half(HostKey("/etc/ssh/key", (tmp_path / "key").read_text("utf-8"))) == public


@pytest.mark.parametrize("shape", ["PRIVATE", ["PRIVATE"], [{"PRIVATE": ""}], [{"content": {"PRIVATE": 1}}, "PRIVATE"]])
def test_key_of_the_wrong_shape_is_in_no_message(shape: Any) -> None:
    """Neither where the role's variables are validated, nor where the task's own options are."""
    named = {"deploy_flake_install_host_keys": types()["install"], "host_keys": argument_spec("flake_install")}
    for name, spec in named.items():
        assert spec[name]["no_log"]
    values = {"deploy_flake_install_host_keys": shape}
    messages = wrong("install", types()["install"], values, SimpleNamespace(), options_of)  # type: ignore[arg-type]
    assert messages
    # Names of keys are no secrets.
    assert "PRIVATE" not in str(messages) or shape == [{"PRIVATE": ""}]


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


def test_disks_of_several_hosts_want_a_word() -> None:
    one = settings(FakeHost())
    one.refuse_several_hosts(["host1"])
    with pytest.raises(HostError, match="one host at a time") as failed:
        one.refuse_several_hosts(["host1", "host2"])
    assert failed.value.reason == Refusal.SEVERAL_HOSTS
    settings(FakeHost(), allow=["several_hosts"]).refuse_several_hosts(["host1", "host2"])


@pytest.mark.parametrize("word", argument_spec("flake_install")["allow"]["choices"])
def test_every_word_reaches_the_host(run: Any, word: str) -> None:
    host, _result = run(LOOKED, DONE, reboot=False, allow=[word])
    assert [each.inputs["allow"] for each in host.asked] == [word, word]


def test_what_is_built_beside_the_system() -> None:
    host = FakeHost()
    of_a_flake = settings(host).beside("config", "system", "build", "diskoScript").attribute
    assert of_a_flake == 'nixosConfigurations."host1".config.system.build.diskoScript'
    of_a_file = settings(host, file="default.nix").beside("config").attribute
    assert of_a_file == "config"
