# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `lab`."""

from __future__ import annotations

import argparse
import os
import sys

from lab.fleet import Lab
from lab.host import Host
from lab.shell import LabError, say
from lab.state import MAX_HOSTS, MAX_MACHINES

FAULTS = {
    "cut": Host.cut,
    "mend": Host.mend,
    "power-off": Host.power_off,
    "power-on": Host.power_on,
    "reset": Host.reset,
    "fill-disk": Host.fill_disk,
    "free-disk": Host.free_disk,
    "fill-boot": Host.fill_boot,
    "free-boot": Host.free_boot,
}


def main() -> int:
    arguments = _parser().parse_args()
    lab = Lab()
    try:
        return int(arguments.action(lab, arguments) or 0)
    except LabError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    except PermissionError as error:
        say(f"error: {error.strerror}: {error.filename}: the lab must be run by root")
        return 1


def _up(lab: Lab, arguments: argparse.Namespace) -> None:
    count = 0 if arguments.vm else 3
    lab.up(count if arguments.count is None else arguments.count, arguments.vm)


def _down(lab: Lab, _arguments: argparse.Namespace) -> None:
    lab.down()


def _inventory(lab: Lab, _arguments: argparse.Namespace) -> None:
    _hosts(lab)
    print(lab.inventory)


def _ssh(lab: Lab, arguments: argparse.Namespace) -> None:
    host = _host(lab, arguments.host)
    sys.stdout.flush()
    argv = host.ssh_command(*arguments.command)
    os.execvp(argv[0], argv)


def _status(lab: Lab, _arguments: argparse.Namespace) -> None:
    for host in _hosts(lab).values():
        word = "off"
        if host.alive:
            word = host.run(["systemctl", "is-system-running"], timeout=10).stdout.strip() or "no answer"
        cut = ", cut off" if host.is_cut else ""
        print(f"{host.name:<7} {host.user}@{host.address}:{host.port:<5} /bin/sh={host.shell:<8} {word}{cut}")


def _fault(lab: Lab, arguments: argparse.Namespace) -> None:
    FAULTS[arguments.fault](_host(lab, arguments.host))


def _logs(lab: Lab, arguments: argparse.Namespace) -> None:
    sys.stdout.write(_host(lab, arguments.host).logs())


def _hosts(lab: Lab) -> dict[str, Host]:
    if not lab.hosts:
        raise LabError("the lab is down; start it with: lab up")
    return lab.hosts


def _host(lab: Lab, name: str) -> Host:
    hosts = _hosts(lab)
    if name not in hosts:
        raise LabError(f"there is no {name}, but {', '.join(hosts)}")
    return hosts[name]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lab", description="Hosts shaped like NixOS, for tests and demonstrations.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="bring up host1 to hostN and wait until they run")
    up.add_argument("count", nargs="?", type=int, metavar="N", help=f"1 to {MAX_HOSTS}, default 3")
    up.add_argument(
        "--vm",
        type=int,
        default=0,
        metavar="N",
        help=f"and this many virtual machines, 1 to {MAX_MACHINES}; alone where no other N is given",
    )
    up.set_defaults(action=_up)

    commands.add_parser("down", help="remove the hosts; the image is kept").set_defaults(action=_down)
    commands.add_parser("inventory", help="print the path of the inventory").set_defaults(action=_inventory)
    commands.add_parser("status", help="list the hosts").set_defaults(action=_status)

    ssh = commands.add_parser("ssh", help="log in to a host, or run a command there")
    ssh.add_argument("host", metavar="HOST")
    ssh.add_argument("command", nargs=argparse.REMAINDER, metavar="CMD")
    ssh.set_defaults(action=_ssh)

    fault = commands.add_parser("fault", help="break or mend something")
    fault.add_argument("host", metavar="HOST")
    fault.add_argument("fault", choices=list(FAULTS))
    fault.set_defaults(action=_fault)

    logs = commands.add_parser("logs", help="print a host's console and journal")
    logs.add_argument("host", metavar="HOST")
    logs.set_defaults(action=_logs)
    return parser
