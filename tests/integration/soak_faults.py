# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults of the randomised test: what happens to a host while it is deployed."""

from __future__ import annotations

from integration import soak_faults_hosts as hosts
from integration import soak_faults_kills as kills
from integration import soak_faults_links as links
from integration import soak_faults_others as others
from integration import soak_faults_space as space
from integration.soak_fault import Fault

OURS, ANOTHER = "ours", "another"

FAULTS: dict[str, Fault] = {
    # What may be killed.
    "kill the supervisor's main process": Fault(kills.main_process),
    "systemctl kill of its unit": Fault(kills.whole_unit),
    "cgroup.kill of its unit": Fault(kills.whole_cgroup),
    "kill the guard": Fault(kills.the_guard),
    "kill both units": Fault(kills.both_units),
    "kill all again and again": Fault(kills.all_again_and_again),
    "stop the supervisor's unit": Fault(kills.stop_unit),
    "kill the controller": Fault(kills.controller),
    "kill the controller and both units": Fault(kills.controller_and_both_units),
    "SIGINT to the playbook": Fault(kills.interrupt, way="the playbook"),
    "SIGKILL to the command": Fault(kills.command, way="the command"),
    "SIGINT to the command": Fault(kills.interrupt, way="the command"),
    "SIGINT to the command, twice": Fault(kills.interrupt_twice, way="the command"),
    "kill the build": Fault(kills.build),
    "kill journald": Fault(kills.service("systemd-journald.service")),
    "kill dbus": Fault(kills.service("dbus.service")),
    "kill logind": Fault(kills.service("systemd-logind.service")),
    "kill nix-daemon": Fault(kills.nix_daemon),
    # The network.
    "cut the link": Fault(links.cut),
    "a slow link": Fault(links.slow),
    "the host hears nothing": Fault(links.one_way("input")),
    "the host is not heard": Fault(links.one_way("output")),
    # The machine, and systemd.
    "power off and on": Fault(hosts.lose_power),
    "reboot": Fault(hosts.reboot()),
    "reboot -f": Fault(hosts.reboot("--force")),
    "soft-reboot": Fault(hosts.soft_reboot, states=hosts.OPEN),
    "rescue": Fault(hosts.rescue("rescue"), states=hosts.OPEN),
    "emergency": Fault(hosts.rescue("isolate", "emergency.target"), states=hosts.OPEN),
    "daemon-reload storm": Fault(hosts.storm("daemon-reload")),
    "daemon-reexec storm": Fault(hosts.storm("daemon-reload", "daemon-reexec")),
    "freeze PID 1": Fault(hosts.freeze_pid_1),
    "freeze the supervisor": Fault(hosts.freeze_supervisor),
    "freeze its whole unit": Fault(hosts.freeze_whole_unit),
    "freeze the host": Fault(hosts.freeze_host),
    # Space and locks.
    "fill the disk": Fault(space.fill_disk),
    "fill /boot": Fault(space.fill_boot),
    "fill /run": Fault(space.fill_run),
    "fill /run for long": Fault(space.fill_run_for_long),
    "use up /run's inodes": Fault(space.use_up_inodes_of_run),
    "collect garbage": Fault(space.collect_garbage),
    "nix-collect-garbage -d": Fault(space.collect_old_generations),
    "hold the lock of switch-to-configuration": Fault(space.hold(space.SWITCH_LOCK)),
    "hold the lock of the profile": Fault(space.hold(space.STORE_LOCK)),
    # Others who work on the host.
    "another controller deploys": Fault(others.controller("deploy")),
    "revoke": Fault(others.revoke),
    "rollback beside it": Fault(others.controller("rollback")),
    "prune beside it": Fault(others.controller("generations")),
    "trial beside it": Fault(others.controller("trial")),
    "reboot beside it": Fault(others.controller("reboot")),
    "somebody switches live": Fault(others.switch(ANOTHER, "live")),
    "somebody moves the boot default": Fault(others.switch(ANOTHER, "boot")),
    "somebody switches": Fault(others.switch(ANOTHER, "live", "boot")),
    "an auto-upgrade with boot": Fault(others.auto_upgrade),
    "somebody switches live to our system": Fault(others.switch(OURS, "live"), only_good=True, states=others.TRIED),
    "somebody makes our system the boot default": Fault(
        others.switch(OURS, "boot"), installs=True, states=others.TRIED
    ),
    "somebody switches to our system": Fault(others.switch(OURS, "live", "boot"), only_good=True, states=others.TRIED),
    # Its system alone.
    "nothing": Fault(lambda _scene: None),
}
# Where an outcome of which somebody has to take care is no loss: fault or system, outcome, and why it has to be.
UNAVOIDABLE: dict[tuple[str, str], str] = {
    (name, "rollback-failed"): "what it leaves in /run keeps sshd down until the host reboots, as its last resort"
    for name in ("breaks-sshd", "breaks-sshd-mount-fails")
}
# Those that need a system of somebody else's, which is built before.
THEIR_SYSTEM = {name for name in FAULTS if name.startswith("somebody") and "our" not in name} | {
    "an auto-upgrade with boot"
}
