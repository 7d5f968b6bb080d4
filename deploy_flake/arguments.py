# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line. Only Python's own argparse is needed for it, so that `--help` comes at once."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from deploy_flake import __version__
from deploy_flake.generated_options import CHOICES, FLAGS, RunVariables
from deploy_flake.options import SYSTEMS, build_arguments

COMMANDS = {
    "deploy": "deploy a flake (the command where none is named)",
    "status": "show what hosts run and boot, and what was last deployed",
    "rollback": "roll back to an earlier generation",
    "revoke": "roll back hosts that wait for confirmation",
    "diff": "show what a deploy would do and change (deploy --check --diff), or what changes between two generations",
    "build": "build the systems, or another output, on the hosts and print their paths; change nothing else",
    "install": "ERASE the disks of machines that have booted an installer, and install NixOS",
    "profiles": "deploy profiles that are no NixOS system: system-manager's, home-manager's and others",
    "trial": "boot the new system once, and keep it only if it comes up well",
    "reboot": "reboot hosts that have to be, one after another",
    "generations": "remove old generations",
    "completion": "print a completion script for a shell",
}
_OF_A_RUN = {one.name for one in fields(RunVariables)}
SHELLS = ("bash", "zsh", "fish")

_DESTINATIONS = """\
A destination is [user@]host, an alias of ssh_config, an IPv6 address, or
nixos://[user@]host[:port][/configuration]. Without a configuration the one with the host's own hostname is deployed.
"""
_EXIT = """\
exit codes:
  0    every host was deployed, or had nothing to do
  1    some host failed, or its outcome is unknown
  2    usage error; no host was touched
  3    some host could not be reached (with --allow-unreachable: none could)
  4    some host tested its new system and rolled back to the previous one
  130  interrupted
Where hosts ended differently, the first of 1, 4 and 3 that fits.

Interrupt once (Ctrl-C) to stop, and to roll back hosts that wait for confirmation; twice to leave at once. The hosts
then roll back by themselves.
"""
_EXAMPLES = """\
examples:
  deploy-flake web1                                 the flake here, the configuration that has web1's own hostname
  deploy-flake nixos://admin@web2:2222/webserver --flake github:me/hosts
  deploy-flake web1 web2 --check --diff             what would happen, and what would change
  deploy-flake -i hosts.yml -l 'web*' --serial 25%  hosts of an Ansible inventory, a quarter at a time
  deploy-flake install nixos://root@192.0.2.7/web3 --disk /dev/disk/by-id/nvme-eui.0025385b71b0a1c2
                                            ERASE that disk, and install NixOS from an installer
  deploy-flake status web1 web2 --flake .           what they run, and how far that is from the flake
  deploy-flake status web1 --generations            what there is to roll back to
  deploy-flake rollback web1                        the previous generation
  deploy-flake web1 --yes --instrumentation json    for programs; docs/command.md has the objects

environment:
  NO_COLOR    no colours in the table
  TERM        with 'dumb' lines in place of the table
  TMPDIR      where ansible-runner's files are while it runs
  ANSIBLE_…   and ansible.cfg hold, but for what would make a deploy lie about how it went (such as the strategy,
              tags and no_log)

files:
  ~/.ssh/config                            users, ports, keys and jump hosts
  ./ansible.cfg, ~/.ansible.cfg, /etc/ansible/ansible.cfg
                                           settings for Ansible, the first one that there is
  /var/lib/deploy-flake/deployments.jsonl  on a host: every deployment so far

To complete words in bash: deploy-flake completion bash >~/.local/share/bash-completion/completions/deploy-flake
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command."""
    names = "\n".join(f"  {name:<12} {what}" for name, what in COMMANDS.items())
    top = argparse.ArgumentParser(
        prog="deploy-flake",
        usage="deploy-flake [COMMAND] [OPTION]... [DESTINATION]...",
        description="Deploy Nix flakes to NixOS hosts, which build, test and keep their new system, or roll back.\n\n"
        f"commands:\n{names}\n\n'deploy-flake COMMAND --help' shows the options of a command.",
        epilog=f"{_DESTINATIONS}\n{_EXIT}\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    top.add_argument("-h", "--help", action="store_true", help="show this, and the options of deploy")
    top.add_argument("--version", action="version", version=f"deploy-flake {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", help=argparse.SUPPRESS)
    deploy = _command(commands, "deploy")
    _deploy(deploy)
    _rollback(_command(commands, "rollback"))
    _diff(_command(commands, "diff"))
    build = _command(commands, "build")
    link = "a link on each host to what was built, which keeps it from garbage collection"
    _source(build, "build").add_argument("--out-link", metavar="PATH", help=link)
    _more(build, "build")
    install = _command(commands, "install")
    _source(install, "install")
    _careful(install, "install")
    _profiles(_command(commands, "profiles"))
    trial = _command(commands, "trial")
    _source(trial, "trial")
    _careful(trial, "trial")
    reboot = _careful(_command(commands, "reboot"), "reboot")
    reboot.add_argument("--always", action="store_true", help="those as well that run what they would boot")
    _generations(_careful(_command(commands, "generations"), "generations"))
    revoke = _command(commands, "revoke")
    revoke.add_argument("--reason", metavar="TEXT", help="why, for the record on the hosts")
    status = _command(commands, "status")
    compared = status.add_argument_group("what to compare with")
    compared.add_argument("--flake", metavar="FLAKE", help="a flake that the hosts may have drifted from")
    shown = status.add_argument_group("what to show")
    shown.add_argument("--generations", action="store_true", help="all generations, with their dates and revisions")
    completion = commands.add_parser("completion", help=COMMANDS["completion"], allow_abbrev=False)
    completion.add_argument("shell", choices=SHELLS)
    return top


def subparsers(top: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each command."""
    (action,) = (one for one in top._actions if isinstance(one, argparse._SubParsersAction))
    return dict(action.choices)


def with_command(argv: list[str]) -> list[str]:
    """Name the command where it is left out. A host that is called like one needs it: `deploy-flake deploy status`."""
    if not argv or argv[0] in COMMANDS or argv[0] in ("-h", "--help", "--version"):
        return argv
    return ["deploy", *argv]


def _command(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        prog=f"deploy-flake {name}",
        help=COMMANDS[name],
        usage=f"deploy-flake {'[deploy]' if name == 'deploy' else name} [OPTION]... [DESTINATION]...",
        description=f"{COMMANDS[name][0].upper()}{COMMANDS[name][1:]}.",
        epilog=f"{_DESTINATIONS}\n{_EXIT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_argument("destinations", nargs="*", metavar="DESTINATION", help="where to (see below)")
    _hosts(command.add_argument_group("hosts"), "deploy" if name == "diff" else name)
    _output(command.add_argument_group("output"))
    return command


def _hosts(group: argparse._ArgumentGroup, command: str) -> None:
    group.add_argument("-i", "--inventory", action="append", default=[], metavar="SOURCE",
                       help="an existing Ansible inventory, in place of destinations")  # fmt: skip
    group.add_argument("-l", "--limit", metavar="PATTERN", help="only these hosts of the inventory")
    group.add_argument("--parallel", type=_positive, metavar="N", help="how many hosts at a time (default: 32)")
    group.add_argument("-K", "--ask-become-pass", action="store_true", help="ask for the password of sudo on the hosts")
    group.add_argument("--ssh-args", metavar="ARGS", help="more arguments for ssh, as in --ssh-args='-J gate'")
    _add(group, command, "hosts")
    group.add_argument("-e", "--extra-vars", action="append", default=[], metavar="VARS",
                       help="variables for the playbooks, as ansible-playbook takes them")  # fmt: skip


def _output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--instrumentation", choices=("tui", "plain", "json"),
                       help="a live table (the default on a terminal), lines, or a JSON object a line")  # fmt: skip
    group.add_argument("--on-event", metavar="COMMAND",
                       help="a command for /bin/sh that reads what happens, a JSON object a line")  # fmt: skip
    group.add_argument("-v", "--verbose", action="count", default=0, help="say more; -vvv for a lot more")
    group.add_argument("--artifacts", type=Path, metavar="DIRECTORY", help="keep what ansible-runner writes there")
    group.add_argument("-y", "--yes", action="store_true", help="skip the confirmation prompt")


def _deploy(command: argparse.ArgumentParser) -> None:
    _source(command, "deploy")
    _test(command, "deploy")


def _diff(command: argparse.ArgumentParser) -> None:
    """It is a deploy, so it takes the same; both flags are there for whoever adds them. Or it compares two systems."""
    _deploy(command)
    group = command.add_argument_group("what to compare, in place of a deploy")
    said = f"the number of a generation, a store path, or one of {', '.join(SYSTEMS)} (default: %s)"
    group.add_argument("--from", type=_system, dest="compare_from", metavar="SYSTEM", help=said % SYSTEMS[0])
    group.add_argument("--to", type=_system, dest="compare_to", metavar="SYSTEM", help=said % SYSTEMS[-1])
    command.set_defaults(check=True, diff=True)


def _profiles(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("what to deploy")
    group.add_argument("--flake", metavar="FLAKE", help="a directory or any flake reference (default: .)")
    group.add_argument("--profile", type=_profile, action="append", dest="profiles", metavar="KIND[,OPTION=VALUE]...",
                       help="a profile, as system-manager or home-manager,user=alice; one after the other")  # fmt: skip
    _add(group, "profiles", "source")
    _careful(command, "profiles")


def _source(command: argparse.ArgumentParser, name: str) -> argparse._ArgumentGroup:
    group = command.add_argument_group("what to build" if name == "build" else "what to deploy")
    group.add_argument("--flake", metavar="FLAKE", help="a directory or any flake reference (default: .)")
    if name != "install":
        group.add_argument("--toplevel", metavar="PATH", help="the store path of a built system, in place of a flake")
    _add(group, name, "source")
    return group


def _more(command: argparse.ArgumentParser, name: str) -> argparse._ArgumentGroup:
    group = command.add_argument_group("how to do it")
    _add(group, name, "test")
    return group


def _careful(command: argparse.ArgumentParser, name: str) -> argparse._ArgumentGroup:
    group = _more(command, name)
    group.add_argument("--check", action="store_true", help="say what would happen, and change nothing")
    return group


def _generations(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--keep", type=_number, metavar="N", help="how many of the newest stay (default: 10)")
    group.add_argument("--keep-days", type=_number, metavar="DAYS", help="those of so many days stay as well")
    group.add_argument("--collect-garbage", action="store_true", help="collect garbage in the hosts' stores as well")


def _rollback(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("what to roll back to")
    choice = group.add_mutually_exclusive_group()
    choice.add_argument("--to", type=_target, metavar="GENERATION|PATH",
                        help="the number of a generation or a store path (default: the previous one)")  # fmt: skip
    choice.add_argument("--generation", type=_positive, dest="to", metavar="N", help="the number of a generation")
    _test(command, "rollback")


def _test(parser: argparse.ArgumentParser, command: str) -> None:
    group = parser.add_argument_group("how to test it")
    group.add_argument("--check", action="store_true", help="say what would happen, and change no host's system")
    group.add_argument("--diff", action="store_true", help="show which packages, units and sizes change")
    group.add_argument("--preflight-check", choices=("run", "skip"), default="run",
                       help="skip: take units that have failed already as they are")  # fmt: skip
    _add(group, command, "test")


def _add(group: argparse._ArgumentGroup, command: str, name: str) -> None:
    """Add the flags that set a variable of the role."""
    for flag in FLAGS:
        if command in flag.commands and flag.group == name:
            value = {"metavar": flag.metavar, "choices": flag.choices}
            more = {name: one for name, one in value.items() if one} | _KINDS[flag.kind]
            group.add_argument(flag.name, dest=flag.field, help=flag.help.replace("%", "%%"), **more)


def of_a_deploy(chosen: argparse.Namespace) -> list[str]:
    """The options that were given for a deploy, and mean nothing where two systems of a host are compared."""
    given = {flag.name: getattr(chosen, flag.field) for flag in FLAGS if "deploy" in flag.commands}
    of_a_run = {flag.name for flag in FLAGS if flag.field in _OF_A_RUN}
    given |= {"--flake": chosen.flake, "--toplevel": chosen.toplevel}
    return [name for name, value in given.items() if value not in (None, False, []) and name not in of_a_run]


def deploy_options(chosen: argparse.Namespace) -> dict[str, Any]:
    """The fields of DeployOptions that were chosen on the command line."""
    found: dict[str, Any] = {
        "check": getattr(chosen, "check", False),
        "diff": getattr(chosen, "diff", False),
        "preflight_check": getattr(chosen, "preflight_check", "run") == "run",
    }
    for flag in FLAGS:
        if chosen.command in flag.commands and flag.field not in _OF_A_RUN:
            value = getattr(chosen, flag.field)
            match flag.kind:
                case "words":
                    value = build_arguments(value or "")
                case "limits":
                    value = dict(value)
                case "run-or-skip":
                    value = value and value == "run"
            found[flag.field] = value
    return found


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


def _number(text: str) -> int:
    return 0 if text == "0" else _positive(text)


def _system(text: str) -> int | str:
    return text if text in SYSTEMS else _target(text)


def _target(text: str) -> int | str:
    return text if text.startswith("/nix/store/") else _positive(text)


def _profile(text: str) -> dict[str, str]:
    """One of those of profile_deploy; which options there are, and which kinds, is for fleet_validate to say."""
    kind, *options = text.split(",")
    pairs = [one.partition("=") for one in options]
    if not kind or "=" in kind or not all(name and equals for name, equals, _value in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not like home-manager,user=alice")
    return {"kind": kind} | {name: value for name, _equals, value in pairs}


def _limit(text: str) -> tuple[str, int]:
    phase, _equals, seconds = text.partition("=")
    if phase not in CHOICES["limits"]:
        raise argparse.ArgumentTypeError(f"{text!r}: the phases are {', '.join(CHOICES['limits'])}")
    return phase, 0 if seconds == "0" else _positive(seconds)


_KINDS: dict[str, dict[str, Any]] = {
    "text": {},
    "number": {"type": _positive},
    "list": {"action": "append", "default": []},
    "limits": {"action": "append", "default": [], "type": _limit},
    "words": {},
    "switch": {"action": "store_true"},
    "run-or-skip": {},
}
"""The kinds of flags, as argparse has them."""
