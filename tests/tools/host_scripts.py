# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the scripts for the hosts, each program looked at whole, as it is sent.

shellcheck does not know what a program is given, which functions come with it, nor who reads what it answers. So what
the scripts declare in their heads is compared with what they do, and with what the controller's Python says.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from tools.environments import Environment
from tools.shell import ROOT, run, say

if TYPE_CHECKING:
    from tools.shell_syntax import Command, Script

PLUGINS = Path("plugins")
SCRIPTS = PLUGINS / "plugin_utils/_sh"
JOINER = PLUGINS / "plugin_utils/_host/scripts.py"
CODES = PLUGINS / "plugin_utils/_codes.py"

# Not asked for: files that the host makes are not here (SC1090, SC1091); `A && B || C` is only written where C may
# follow either (SC2015); one function works in a subshell on purpose (SC2030, SC2031); no program uses every function
# of what it needs, nor every argument of one (SC2317, SC2119, SC2120); every shell that is tested has `local` (SC3043).
_EXCLUDED = "SC1090,SC1091,SC2015,SC2030,SC2031,SC2119,SC2120,SC2317,SC3043"
_SHELLCHECK = ("shellcheck", "--norc", "--shell=sh", "--format=json1", f"--exclude={_EXCLUDED}", "-")

_FUNCTION = re.compile(r"^\s*(\w+)\(\)", re.MULTILINE)
_VARIABLE = re.compile(r"^(\w+)=", re.MULTILINE)
_DECLARED = re.compile(r"^# (facts|sets): (.*)$", re.MULTILINE)
_FACT = re.compile(r"\bfact (\w+)")
_ANSWER = re.compile(r"""(?<![\w-])answer "?([\w$]+)"?|printf '(\w+)\\0'""")
_PLAIN = re.compile(r"[A-Za-z.:][\w.:+-]*")
# A name that is made: what it begins with.
_MADE = re.compile(r"\"?([A-Za-z_]+)\$")


def _each(words: str) -> frozenset[str]:
    return frozenset(words.split())


_OF_THE_SHELL = _each(
    ": . break cd command continue echo eval exec exit kill printf pwd read return set shift trap umask wait"
)
# What a host has, or may have. One that nothing uses is found.
_TOOLS = _each(
    "awk base64 blkid blockdev bootctl cat chmod chown cksum cmp cp cut date dd df env fallocate find flock getent grep"
    " grub-editenv grub-reboot gzip head id journalctl ln loginctl ls mkdir mkfifo mktemp mv nix nix-env nix-store"
    " nixos-install paste readlink rm rmdir sed setpriv sleep sort ssh-keygen stat swapoff sync systemctl"
    " systemd-mount systemd-run tail test timeout tr truncate udevadm umount uname wc xargs zpool"
)

# What is asked of a host, and runs there, where a profile is deployed that is no NixOS system.
_OF_PROFILES = (
    *("unit/deployment", "command/start", "command/profile", "command/poll", "command/confirm", "command/revoke"),
    *(
        "command/build",
        "command/copy_ask",
        "command/copy_receive",
        "command/copy_drop",
        "command/nix_eval",
        "command/store_has",
    ),
)

# Which codes each takes; those that hand all they get to `refuse` are found by that.
_TAKES = {
    "give_up": ("Why",),
    "why": ("Why",),
    "stop_unchanged": ("Why",),
    "refuse": ("Refusal",),
    "complain": ("Why", "Refusal"),
    "needs_reboot": ("RebootBecause",),
}
_ANSWERS = {"why_code": "Why", "refused": "Refusal", "blocked": "Blocked", "needs_reboot": "RebootBecause"}
# Variables that have a value of an enum.
_ENUM_OF = {
    "phase": "State",
    "outcome": "State",
    "state": "State",
    "mode": "Mode",
    "policy": "HealthPolicy",
    "on_reboot_required": "OnRebootRequired",
    "last_resort_reboot": "LastResortReboot",
    "may_reboot": "MayReboot",
    "step": "TrialStep",
}
# Words that others say (systemd, sshd, file systems, boot loaders), and those that the scripts say to each other.
_OTHER_WORDS = _each(
    "inactive failed active activating deactivating reloading running degraded masked not-found"
    " zfs bcachefs btrfs exfat ntfs udf"
    " xfs msdos vfat fat tmpfs ramfs overlay grub systemd-boot extlinux default preferred linux initrd options"
    " maintenance initializing starting live boot kept theirs broken shutdown soft-reboot"
    " toplevel previous preparing armed supervise undo guard guard-again prune garbage"
    " compare prepare place restart verify keep back back-files at-boot give-up"
    " put remove directory file only same reload"
    " number name text words program"
    " mount swap ended"
    " authorizedkeyscommand authorizedkeysfile nixos localhost"
)


def host_scripts(environment: Environment, tree: Path) -> bool:
    """The check of `make lint`, in the environment that has the grammar of the shell."""
    command: list[str | Path] = [environment.bin / "python", "-m", "tools.host_scripts", tree]
    return run(command, env={"PYTHONPATH": str(ROOT / "tests")})


def main(tree: Path) -> int:
    """Say what is wrong."""
    found = list(problems(tree)) or list(shellcheck(tree))
    for problem in found:
        say(problem)
    return 1 if found else 0


def problems(tree: Path) -> Iterator[str]:
    """What is wrong but for what shellcheck finds."""
    scripts = Scripts(tree)
    missing = list(_missing(scripts))
    if missing:
        # Nothing can be joined.
        yield from missing
        return
    controller = Controller(tree)
    yield from _what_is_lost(scripts)
    yield from _declarations(scripts, controller)
    for program in scripts.programs:
        yield from _functions(scripts, program)
    yield from _tools(scripts)
    yield from _answers(scripts, controller)
    codes = _load(tree / CODES)
    classes = (each for each in vars(codes).values() if isinstance(each, type) and issubclass(each, StrEnum))
    enums = {each.__name__: {str(member) for member in each} for each in classes}
    yield from _codes(scripts, enums)
    yield from _words(scripts, enums, codes.FINAL)


class Scripts:
    """The scripts of a tree."""

    def __init__(self, tree: Path) -> None:
        self.joiner = _load(tree / JOINER)
        files = sorted((tree / SCRIPTS).glob("*/*.sh"))
        self.text = {f"{file.parent.name}/{file.stem}": file.read_text(encoding="utf-8") for file in files}
        # Not at the top: the targets of the Makefile are begun outside of every environment.
        from tools import shell_syntax

        self.syntax: dict[str, Script] = {name: shell_syntax.Script.read(text) for name, text in self.text.items()}
        self.named = shell_syntax.commands_named
        self.functions = {name: _FUNCTION.findall(text) for name, text in self.text.items()}
        programs = [name for name in self.text if not name.startswith(("lib/", "profile/"))]
        # Where a profile is deployed that is no NixOS system, they are joined of other parts: NAME@KIND.
        kinds = [name.partition("_")[2] for name in self.text if name.startswith("profile/kind_")]
        self.programs = programs + [f"{name}@{kind}" for name in _OF_PROFILES for kind in kinds if name in programs]

    def parts(self, program: str) -> tuple[str, ...]:
        """The scripts that a program is joined of."""
        name, _at, kind = program.partition("@")
        parts: tuple[str, ...] = self.joiner.parts(name, kind)
        return parts

    def kinds(self, need: str) -> list[str]:
        """Those that stand for what is needed in the scripts for profiles, where that is what a kind has of its own."""
        return [name for name in self.text if need == "kind" and name.startswith("profile/kind_")]

    def needed(self, name: str, need: str) -> list[str]:
        """The scripts that may stand for what a script needs."""
        if not name.startswith("profile/"):
            return [f"lib/{need}"]
        its = self.kinds(need) or [f"profile/{need}"]
        return its if its[0] in self.text else [f"lib/{need}"]

    def bare(self, name: str) -> str:
        """A script without comments."""
        text: str = self.joiner.script(name)
        return text

    def inputs(self, program: str) -> list[str]:
        """What a program is given."""
        name, _at, kind = program.partition("@")
        return list(self.joiner.inputs(name, kind))

    def declared(self, what: str, name: str) -> list[str]:
        """The words of a declaration of one script."""
        return [word for kind, words in _DECLARED.findall(self.text[name]) if kind == what for word in words.split()]


@dataclass
class Controller:
    """What the controller's Python says of the scripts."""

    tree: Path
    given: list[tuple[str, str, frozenset[str], bool]] = field(default_factory=list)
    """Where, a command that is run there, inputs that are named there, and whether those are all."""
    words: set[str] = field(default_factory=set)
    """Every text and every keyword; a part that is put in is a `*`."""
    read: set[str] = field(default_factory=set)
    """Names of answers that are read, wherever something is got by a name."""
    expected: dict[str, str] = field(default_factory=dict)
    """Names that are certainly of answers, and where they are read."""

    def __post_init__(self) -> None:
        for file in sorted((self.tree / PLUGINS).rglob("*.py")):
            module = ast.parse(file.read_text(encoding="utf-8"))
            # Documentation is full of words.
            if file.parent.name not in ("modules", "doc_fragments") and file != self.tree / JOINER:
                self._look_at(file.relative_to(self.tree), module)

    def passes(self, name: str) -> bool:
        """Whether somebody may pass an input of that name."""
        return any(_matches(word, name) for word in self.words)

    def reads(self, name: str) -> bool:
        """Whether somebody reads an answer of that name, in which a `*` stands for anything."""
        return any(_matches(word, name) or _matches(name, word) for word in self.read)

    def _look_at(self, file: Path, module: ast.Module) -> None:
        for node in ast.walk(module):
            if isinstance(node, (ast.Constant, ast.JoinedStr)):
                self.words.update(_texts(node))
            elif isinstance(node, ast.keyword) and node.arg:
                self.words.add(node.arg)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                self._runs(f"{file}:{node.lineno}", node, node.func.attr)
        constants = {
            target.id: node.value
            for node in module.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for function in ast.walk(module):
            if isinstance(function, ast.FunctionDef):
                self._reads_of(file, function, constants)

    def _runs(self, where: str, call: ast.Call, method: str) -> None:
        """A call that runs a command with inputs. `ask` of a deployment adds some."""
        if method in ("run", "ask") and call.args and isinstance(call.args[0], ast.Constant):
            names = {keyword.arg for keyword in call.keywords} - {"limit", "data"}
            inputs = frozenset(name for name in names if name)
            self.given.append((where, str(call.args[0].value), inputs, method == "run" and None not in names))

    def _reads_of(self, file: Path, function: ast.FunctionDef, constants: Mapping[str, ast.expr]) -> None:
        """Names that it reads; where one is a variable, every text there and in what it names may be one."""
        for node in ast.walk(function):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            if node.func.attr not in ("get", "all"):
                continue
            if isinstance(node.args[0], (ast.Constant, ast.JoinedStr)):
                self.read.update(_texts(node.args[0]))
                # A mapping has no `all`.
                if node.func.attr == "all" or (
                    isinstance(node.func.value, ast.Name) and node.func.value.id == "answer"
                ):
                    self.expected.update(dict.fromkeys(_texts(node.args[0]), f"{file}:{node.lineno}"))
                continue
            names = {each.id for each in ast.walk(function) if isinstance(each, ast.Name)} & constants.keys()
            for within in (function, *(constants[name] for name in names)):
                self.read.update(text for each in ast.walk(within) for text in _texts(each))


def shellcheck(tree: Path, programs: Sequence[str] = ()) -> Iterator[str]:
    """What shellcheck finds in each program, or in these.

    What a program is given stands before it; anything else is unknown or unused.
    """
    scripts = Scripts(tree)
    seen: set[str] = set()
    for program in programs or scripts.programs:
        lines = ["#!/bin/sh", *(f"{name}=" for name in scripts.inputs(program))]
        places = [f"{program}: input {name}" for name in ("", *scripts.inputs(program))]
        if "@" in program:
            # What stands in for a part may have no use for what that is given.
            lines += [f': "${name}"' for name in scripts.inputs(program)]
            places += [f"{program}: inputs"] * len(scripts.inputs(program))
        for part in scripts.parts(program):
            for what in ("facts", "sets"):
                for name in scripts.declared(what, part):
                    lines += [f"{name}=", f': "${name}"']
                    places += [f"{part}: {what} {name}"] * 2
            text = scripts.text[part].splitlines()
            lines += text
            places += [f"{SCRIPTS / part}.sh:{number}" for number in range(1, len(text) + 1)]
        done = subprocess.run(_SHELLCHECK, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            yield f"{program}: shellcheck ended with {done.returncode}: {done.stderr}"
            continue
        for comment in json.loads(done.stdout)["comments"]:
            said = f"{places[comment['line'] - 1]}: SC{comment['code']}: {comment['message']}"
            # The same in several programs.
            if said not in seen:
                seen.add(said)
                yield f"{said} (in {program})"


def _missing(scripts: Scripts) -> Iterator[str]:
    for name in scripts.text:
        for need in scripts.joiner.head(name).needs:
            if name.startswith("profile/") and {f"profile/{need}", *scripts.kinds(need)} & scripts.text.keys():
                continue
            if f"lib/{need}" not in scripts.text:
                yield f"{SCRIPTS / name}.sh: needs {need}, and there is no lib/{need}.sh"


def _what_is_lost(scripts: Scripts) -> Iterator[str]:
    """Sent are lines without indentation, and none that is a comment; bash prints scripts as it has understood them."""
    for name, text in scripts.text.items():
        written, sent = _understood(text), _understood(scripts.bare(name))
        if not written:
            yield f"{SCRIPTS / name}.sh: bash does not understand it"
        elif _differ(written, sent):
            yield f"{SCRIPTS / name}.sh: a text in it would lose lines or indentation when it is sent"


def _understood(text: str) -> list[str]:
    """A script as bash prints it, as the body of a function, so that nothing of it is done."""
    script = f"all_of_it() {{\n{text}\n}}\ndeclare -f"
    done = subprocess.run(["bash", "--posix", "-c", script], capture_output=True, text=True, check=False)
    return [] if done.returncode else done.stdout.splitlines()


def _differ(written: list[str], sent: list[str]) -> bool:
    """Whether one says something else than the other. awk does not care how its program is indented."""
    in_awk = False
    for ours, theirs in zip(written, sent, strict=False):
        if ours != theirs and not (in_awk and ours.strip() == theirs.strip()):
            return True
        if ours.count("'") % 2:
            in_awk = not in_awk and "awk" in ours
    return len(written) != len(sent)


def _declarations(scripts: Scripts, controller: Controller) -> Iterator[str]:
    for name in scripts.text:
        path = f"{SCRIPTS / name}.sh"
        head = scripts.joiner.head(name)
        for need in head.needs:
            theirs: set[str] = set()
            for library in scripts.needed(name, need):
                theirs |= {*scripts.functions[library], *_VARIABLE.findall(scripts.text[library])}
                theirs |= {*scripts.joiner.head(library).inputs, *scripts.declared("sets", library)}
            if need != "base" and not theirs & set(re.findall(r"\w+", scripts.bare(name))):
                yield f"{path}: needs {need}, and uses nothing of it"
    facts = {fact for name in scripts.text for fact in _FACT.findall(scripts.bare(name))}
    declared = {fact for name in scripts.text for fact in scripts.declared("facts", name)}
    # What a deployment's units are given is noted as well.
    noted = facts | scripts.joiner.inputs("unit/deployment").keys()
    yield from (f"nobody notes the fact {fact}" for fact in sorted(declared - noted))
    yield from (f"nobody reads the fact {fact}" for fact in sorted(facts - declared))
    for program in scripts.programs:
        for name in scripts.inputs(program):
            if name not in scripts.joiner.head(program.partition("@")[0]).programs and not controller.passes(name):
                yield f"{program}: nobody passes its input {name}"
    for where, command, inputs, whole in controller.given:
        if f"command/{command}" not in scripts.text:
            # Another kind of run.
            continue
        declares = scripts.joiner.inputs(f"command/{command}")
        for name in sorted(inputs - declares.keys() - {"awaited", "within"}):
            yield f"{where}: {command} does not declare the input {name}"
        if whole:
            inputs |= scripts.joiner.head(f"command/{command}").programs.keys()
            for name in sorted({name for name, only in declares.items() if only is None} - inputs):
                yield f"{where}: {command} is not given its input {name}"


def _functions(scripts: Scripts, program: str) -> Iterator[str]:
    parts = scripts.parts(program)
    at = {name: part for part in parts for name in scripts.functions[part]}
    for part in parts:
        for name in scripts.functions[part]:
            if scripts.functions[part].count(name) > 1 or at[name] != part:
                yield f"{program}: {name} has two definitions, in {part} and {at[name]}"
    known = at.keys() | _OF_THE_SHELL | _TOOLS
    for part in parts:
        said = {name for command in scripts.syntax[part].commands for name in _functions_named(command)}
        for name in sorted(said - known):
            yield f"{program}: {part} calls {name}, and no script that it needs has that function; nor is it a tool"


def _functions_named(command: Command) -> Iterator[str]:
    """What must be a function, unless it is something else that is known."""
    if _PLAIN.fullmatch(command.name):
        yield command.name
    elif (made := _MADE.match(command.name)) and "=" not in command.name:
        # Of a word of the loop that it stands in, in which `-` is no letter of a name.
        yield from (made[1] + word.replace("-", "_") for word in command.loop or ["*"])
    if command.name.startswith("each_"):
        yield from filter(_PLAIN.fullmatch, command.arguments)
    elif command.name == "switch_to":
        yield from command.arguments[3:]


def _tools(scripts: Scripts) -> Iterator[str]:
    used = set()
    for name, script in scripts.syntax.items():
        for text in script.not_understood:
            yield f"{SCRIPTS / name}.sh: the grammar of the shell does not understand {text!r}"
        for command in script.commands:
            named = {word for word in scripts.named(command) if _PLAIN.fullmatch(word)}
            for word in sorted(named - _TOOLS - _OF_THE_SHELL):
                yield f"{SCRIPTS / name}.sh: {command.name} is to run {word}, which is no known tool"
            used |= {*named, command.name}
    yield from (f"no script uses the tool {word}" for word in sorted(_TOOLS - used))


def _answers(scripts: Scripts, controller: Controller) -> Iterator[str]:
    answered = {}
    for name in scripts.text:
        for words in _ANSWER.findall(scripts.bare(name)):
            word = re.sub(r"\$\w+", "*", words[0] or words[1])
            if word != "*":
                answered[word] = name
    for word, name in answered.items():
        if not controller.reads(word):
            yield f"{SCRIPTS / name}.sh: nobody reads the answer {word}"
    for word, where in controller.expected.items():
        if not any(_matches(each, word) or _matches(word, each) for each in answered):
            yield f"{where}: no script answers with {word}"


def _codes(scripts: Scripts, enums: Mapping[str, set[str]]) -> Iterator[str]:
    commands = [command for script in scripts.syntax.values() for command in script.commands]
    refusers: set[str] = set()
    while more := {
        each.function
        for each in commands
        if each.name in {"refuse", *refusers} and each.arguments == ('"$@"',) and each.function not in refusers
    }:
        refusers |= more
    takes = {**_TAKES, **dict.fromkeys(refusers, _TAKES["refuse"])}
    for name, script in scripts.syntax.items():
        blocks = any(each.name == "answer" and each.arguments[:1] == ("blocked",) for each in script.commands)
        for command in script.commands:
            call = " ".join((command.name, *command.arguments[:1]))
            of: tuple[str, ...] = takes.get(command.name, ())
            code, *rest = command.arguments or ("",)
            if command.name == "complain" and blocks:
                of += ("Blocked",)
            elif command.name == "answer" and code in _ANSWERS:
                of = (_ANSWERS[code],)
                code, *rest = *command.arguments[1:], "no text"
                if code.startswith('"$'):
                    continue
            handed_on = {'"$1"', '"$@"'} if command.function in takes else set()
            if not of or code in handed_on:
                continue
            if not rest:
                yield f"{SCRIPTS / name}.sh: {call}: a code and a text are needed"
            elif code != '"$code"' and code.strip("\"'") not in set().union(*(enums[each] for each in of)):
                yield f"{SCRIPTS / name}.sh: {call}: {code} is no {' or '.join(of)} of {CODES.name}"


def _words(scripts: Scripts, enums: Mapping[str, set[str]], final: frozenset[str]) -> Iterator[str]:
    """States, and every other word that something is compared with."""
    known = _OTHER_WORDS.union(*enums.values())
    for name, script in scripts.syntax.items():
        path = f"{SCRIPTS / name}.sh"
        for command in script.commands:
            if command.name in ("state", "finish", "end_as"):
                state = " ".join(command.arguments)
                of = enums["State"] if command.name == "state" else final
                if state not in of and state not in ('"$1"', '"$outcome"'):
                    yield f"{path}: {state} is no State of {CODES.name} that {command.name} may give"
        for looked_at, pattern in script.compared:
            enum = _ENUM_OF.get(looked_at.strip('"$'))
            in_case = not looked_at.startswith('"')
            for word in pattern.split(":"):
                if not re.fullmatch(r"[a-z]+([_-][a-z]+)*", word):
                    continue
                if enum and word not in enums[enum]:
                    yield f"{path}: {looked_at} is compared with {word}, which is no {enum} of {CODES.name}"
                elif not enum and word not in known and (in_case or "-" in word or "_" in word):
                    yield f"{path}: {looked_at} is compared with {word}, which nobody says"
        for variable, word in script.assigned:
            # A phase may also be a Why: the record of a deployment says `power-lost` there.
            if variable in _ENUM_OF and re.fullmatch(r"[a-z][a-z_-]*", word) and word not in known:
                yield f"{path}: {variable}={word}, which nobody says"
    said = re.findall(r'^final_states="(.*)"$', scripts.text["lib/states"], re.MULTILINE)
    if sorted(" ".join(said).split()) != sorted(final):
        yield f"{SCRIPTS}/lib/states.sh: final_states is not what FINAL of {CODES.name} is"


def _texts(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.JoinedStr):
        return ["".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)]
    return []


def _matches(pattern: str, name: str) -> bool:
    """Whether a name is one that the pattern stands for; one that is nothing but a star says nothing."""
    if pattern == name or "*" not in pattern:
        return pattern == name
    return bool(pattern.strip("*")) and bool(_compiled(pattern).fullmatch(name))


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """There are more patterns than `re` remembers, and each is tried with every name."""
    return re.compile(r"\w*".join(map(re.escape, pattern.split("*"))))


def _load(file: Path) -> ModuleType:
    """The joiner of that very tree; it needs nothing of Ansible."""
    spec = importlib.util.spec_from_file_location(f"joiner_{abs(hash(file))}", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
