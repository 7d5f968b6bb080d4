# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Completion scripts for shells, made from the command line's own parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from deploy_flake.arguments import COMMANDS, subparsers

_HOSTS = (
    "sed -n 's/^[[:space:]]*[Hh]ost[[:space:]]\\{1,\\}//p' ~/.ssh/config 2>/dev/null | tr ' ' '\\n' | grep -v '[*?!]'"
)


def script(shell: str, top: argparse.ArgumentParser) -> str:
    """The script for bash, zsh or fish."""
    commands = {name: list(_options(one)) for name, one in subparsers(top).items() if name != "completion"}
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands)


def _options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        if action.option_strings:
            yield action


def _words(options: list[argparse.Action]) -> str:
    return " ".join(word for option in options for word in option.option_strings if word.startswith("--"))


def _takes_file(option: argparse.Action) -> bool:
    return option.dest in ("flake", "inventory", "artifacts", "extra_vars")


def _bash(commands: dict[str, list[argparse.Action]]) -> str:
    choices: dict[str, str] = {}
    files: set[str] = set()
    valued: set[str] = set()
    for options in commands.values():
        for option in options:
            for word in option.option_strings:
                if option.choices:
                    choices[word] = " ".join(map(str, option.choices))
                elif _takes_file(option):
                    files.add(word)
                elif option.nargs != 0:
                    valued.add(word)
    cases = [
        f'    {word}) COMPREPLY=($(compgen -W "{values}" -- "$word")); return ;;' for word, values in choices.items()
    ]
    cases.append(f"    {'|'.join(sorted(files))}) compopt -o default; COMPREPLY=(); return ;;")
    cases.append(f"    {'|'.join(sorted(valued))}) COMPREPLY=(); return ;;")
    words = [f'    {name}) options="{_words(options)}" ;;' for name, options in commands.items() if name != "deploy"]
    before, after = "\n".join(cases), "\n".join(words)
    return f"""\
# bash completion for deploy-flake
_deploy_flake() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} options names=
  case $before in
{before}
    completion) COMPREPLY=($(compgen -W "bash zsh fish" -- "$word")); return ;;
  esac
  case ${{COMP_WORDS[1]}} in
{after}
    *) options="{_words(commands["deploy"])}" ;;
  esac
  if [[ $word != -* ]]; then
    options=$({_HOSTS})
    [[ $COMP_CWORD -gt 1 ]] || names="{" ".join(COMMANDS)}"
  fi
  COMPREPLY=($(compgen -W "$options $names" -- "$word"))
}}
complete -F _deploy_flake deploy-flake
"""


def _zsh(commands: dict[str, list[argparse.Action]]) -> str:
    def specification(option: argparse.Action) -> str:
        words = option.option_strings
        names = f"'{words[0]}'" if len(words) == 1 else "{" + ",".join(words) + "}"
        value = ""
        if option.nargs != 0:
            what = (
                f"({' '.join(map(str, option.choices))})"
                if option.choices
                else "_files"
                if _takes_file(option)
                else " "
            )
            value = f":{option.dest}:{what}"
        again = "'*'" if isinstance(option, argparse._AppendAction) else ""
        return f"{again}{names}'[{_plain(option)}]{value}'"

    cases = []
    for name, options in commands.items():
        each = " \\\n        ".join(specification(option) for option in options)
        cases.append(f"    {name}) _arguments -s {each} \\\n        '*:destination:_deploy_flake_hosts' ;;")
    named = " ".join(f"'{name}:{what}'" for name, what in COMMANDS.items())
    body = "\n".join(cases)
    return f"""\
#compdef deploy-flake
_deploy_flake_hosts() {{ local -a hosts; hosts=(${{(f)"$({_HOSTS})"}}); compadd -a hosts; }}
_deploy_flake() {{
  local command=deploy
  local -a subcommands=({named})
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then _describe command subcommands; fi
  if [[ -n ${{(M)subcommands:#$words[2]:*}} ]]; then command=$words[2]; shift words; (( CURRENT-- )); fi
  case $command in
    completion) compadd bash zsh fish ;;
{body}
  esac
}}
if [[ $funcstack[1] == _deploy_flake ]]; then _deploy_flake "$@"; else compdef _deploy_flake deploy-flake; fi
"""


def _fish(commands: dict[str, list[argparse.Action]]) -> str:
    others = [name for name in COMMANDS if name != "deploy"]
    lines = ["# fish completion for deploy-flake", f'complete -c deploy-flake -f -a "({_HOSTS})"']
    for name, what in COMMANDS.items():
        lines.append(f"complete -c deploy-flake -n __fish_is_first_arg -a {name} -d '{what}'")
    lines.append("complete -c deploy-flake -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'")
    for name, options in commands.items():
        seen = f"__fish_seen_subcommand_from {name}"
        when = f"not __fish_seen_subcommand_from {' '.join(others)}" if name == "deploy" else seen
        for option in options:
            words = " ".join(
                f"-l {word[2:]}" if word.startswith("--") else f"-s {word[1:]}" for word in option.option_strings
            )
            value = ""
            if option.choices:
                value = f" -x -a '{' '.join(map(str, option.choices))}'"
            elif option.nargs != 0:
                value = " -r -F" if _takes_file(option) else " -x"
            lines.append(f"complete -c deploy-flake -n '{when}' {words}{value} -d '{_plain(option)}'")
    return "\n".join(lines) + "\n"


def _plain(option: argparse.Action) -> str:
    """An option's help, fit for every shell's quotes."""
    text = (option.help or "").replace("%%", "%").replace("'", "").replace(":", ",")
    return text.replace("[", "(").replace("]", ")")
