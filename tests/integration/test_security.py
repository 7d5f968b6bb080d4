# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing reaches a shell unquoted, files are root's alone, secrets stay secret."""

from __future__ import annotations

import contextlib
import json
import secrets
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import quote

import yaml
from integration.playing import change_the_flake, deploy, outcomes, systems

from lab import Host, Lab

# What a shell would make something of: each would leave a file behind.
EVIL = 'it\'s "odd"; touch /root/evil $(touch /root/evil) `touch /root/evil` ${HOME} a.b #c ^d %e\n& touch /root/evil'
WRAPPER = """
{
  outputs = inputs: let
    real = (import ./inner.nix).outputs inputs;
    name = builtins.fromJSON (builtins.readFile ./name.json);
  in real // { nixosConfigurations = real.nixosConfigurations // { ${name} = real.nixosConfigurations.host3; }; };
}
"""
# Of this run alone: all processes of this machine are looked at.
TOKEN = f"s3cr3t-{secrets.token_hex(8)}"


def untouched(host: Host) -> bool:
    return host.run("test ! -e /root/evil", check=False).returncode == 0 and not Path("/root/evil").exists()


def test_odd_names(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """A directory and a configuration with every odd character that they can have."""
    # Nix's command line cannot express a double quote in an attribute's name.
    name = EVIL.replace('"', "")
    (flake / "flake.nix").rename(flake / "inner.nix")
    (flake / "name.json").write_text(json.dumps(name), encoding="utf-8")
    (flake / "flake.nix").write_text(WRAPPER, encoding="utf-8")
    odd = flake.rename(tmp_path / EVIL.replace("/", "_"))

    reference = f"path:{quote(str(odd))}"
    played = deploy(lab, tmp_path, reference, "host3", deploy_flake_configuration=name)

    assert played.code == 0, played.output
    assert played.of("host3", "flake_build")["configuration"] == name
    assert untouched(fresh["host3"])
    line = fresh["host3"].run("cat /var/lib/deploy-flake/deployments.jsonl").stdout
    assert json.loads(line)["configuration"] == name
    assert json.loads(line)["flake"] == reference


def test_odd_build_arguments(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    arguments = ["--option", "post-build-hook", EVIL]
    played = deploy(lab, tmp_path, flake, "host3", deploy_flake_build_args=arguments)
    assert played.code in (0, 2), played.output
    assert untouched(fresh["host3"])


def test_odd_inventory_name(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """Ansible allows nearly everything in a host's name; the host is found by ansible_host."""
    name = 'web\'1 "odd" a.b $(touch /root/evil)\n`touch /root/evil`; touch /root/evil'
    inventory = tmp_path / "hosts.yml"
    known = yaml.safe_load(lab.inventory.read_text(encoding="utf-8"))["nixos"]["hosts"]["host1"]
    variables = known | {
        "deploy_flake_flake": str(flake),
        "deploy_flake_configuration": "host1",
        "deploy_flake_limits": {"settle": 1},
    }
    inventory.write_text(json.dumps({"all": {"hosts": {name: variables}}}), encoding="utf-8")
    argv = ["ansible-playbook", "-i", str(inventory), "deploy_flake.nixos.deploy"]
    played = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert played.returncode == 0, played.stdout + played.stderr
    assert untouched(fresh["host1"])
    assert list(outcomes(fresh["host1"]).values()) == ["committed"]


def processes_with(word: str) -> str:
    """The arguments and environments of all processes that have it, the controller's and those of all hosts."""
    found = []
    for file in [*Path("/proc").glob("[0-9]*/cmdline"), *Path("/proc").glob("[0-9]*/environ")]:
        with contextlib.suppress(OSError):
            if word.encode() in (text := file.read_bytes()):
                found.append(f"{file}: {text!r}")
    return "\n".join(found)


def test_secrets_for_nix_appear_nowhere(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    host = fresh["host3"]
    change_the_flake(flake, "secret")
    # What follows -e itself is in the process list of the controller, as its documentation says.
    variables = tmp_path / "secret.json"
    variables.write_text(json.dumps({"deploy_flake_nix_config": f"access-tokens = example.org={TOKEN}"}), "utf-8")
    # Whoever looks must not have it in its own arguments.
    (host.root / "root/token").write_text(TOKEN, encoding="utf-8")
    script = """
    for unit in $(systemctl list-units --plain --no-legend 'deploy-flake*' | cut -d' ' -f1); do
        systemctl show "$unit" | grep -F -f /root/token
    done
    find /run /tmp /var /home -xdev -type f -perm /044 -size -100k -exec grep -lF -f /root/token {} + 2>/dev/null
    """
    seen: list[str] = []
    over = threading.Event()

    def watch_units_and_files() -> None:
        while not over.is_set():
            seen.append(host.run(script, check=False).stdout)
            time.sleep(1)

    def watch_processes() -> None:
        while not over.is_set():
            seen.append(processes_with(TOKEN))
            time.sleep(0.1)

    watchers = [threading.Thread(target=watch) for watch in (watch_units_and_files, watch_processes)]
    for watcher in watchers:
        watcher.start()
    try:
        played = deploy(
            lab,
            tmp_path,
            flake,
            "host3",
            options=f"-e @{variables}",
            deploy_flake_configuration="host3-slow-build",
        )
    finally:
        over.set()
        for watcher in watchers:
            watcher.join()
    assert played.code == 0, played.output
    assert len(seen) > 30
    assert not any(seen), set(seen)
    assert TOKEN not in played.output
    assert TOKEN not in host.run("journalctl --no-pager -o cat").stdout
    assert TOKEN not in host.run("cat /var/lib/deploy-flake/deployments.jsonl").stdout


def test_nix_reads_the_configuration_of_a_build(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    change_the_flake(flake, "restricted")
    # What is no setting at all is an error to Nix, wherever it reads it.
    config = "not-a-setting"
    played = deploy(lab, tmp_path, flake, "host3", deploy_flake_nix_config=config)
    assert "not-a-setting" in played.of("host3", "flake_build").get("msg", ""), played.output


def test_files_of_a_deployment_are_roots_alone(lab: Lab, fresh: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    checks = tmp_path / "checks.yml"
    look = (
        "find /run/deploy-flake /var/lib/deploy-flake /nix/var/nix/gcroots/deploy-flake"
        " \\( ! -user root -o -perm /077 ! -type l \\) -print"
    )
    checks.write_text(
        f"- name: Look while it runs\n  ansible.builtin.raw: {json.dumps(look)}\n  become: true\n  register: found\n"
        "  failed_when: found.stdout | trim | length > 0\n",
        encoding="utf-8",
    )
    played = deploy(lab, tmp_path, flake, "host3", deploy_flake_checks=str(checks))
    assert played.code == 0, played.output


def test_private_key_in_a_flake_without_git(lab: Lab, whole: dict[str, Host], flake: Path, tmp_path: Path) -> None:
    """Refused before anybody asks the host for anything; who allows it has the key in the host's store."""
    host = whole["host1"]
    change_the_flake(flake, "keyed")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(flake / "deploy_key")], check=True)
    find = "find /nix/store -maxdepth 2 -name deploy_key"
    before = systems(host), host.run(find).stdout
    for options in ("", "--check"):
        # Nobody answers at that port.
        played = deploy(lab, tmp_path, flake, host.name, options=options, ansible_port=1)
        assert played.code != 0
        assert not played.unreachable, played.output
        failure = played.failure(host.name)
        assert failure["reason"] == "secrets-in-flake", played.output
        assert "deploy_key (a private key)" in failure["msg"]
        assert "allow 'secrets_in_flake' (deploy_flake_allow)" in failure["msg"]
    # Nor goes any of it to a host that would take it.
    assert deploy(lab, tmp_path, flake, host.name).failure(host.name)["reason"] == "secrets-in-flake"
    assert (systems(host), host.run(find).stdout) == before

    played = deploy(lab, tmp_path, flake, host.name, deploy_flake_allow=["secrets_in_flake"])
    assert played.code == 0, played.output
    assert systems(host).running.endswith(".keyed")
    assert host.run(find).stdout != before[1]
