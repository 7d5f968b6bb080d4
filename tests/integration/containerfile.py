# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out a Containerfile as ansible-builder writes it, where there is no container engine.

An image is a list of directories, upper first, that are mounted over one another. All that is mounted is mounted in a
namespace of its own, which ends with the process that was started in it: nothing is left to unmount.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template

from lab import Host, mounts
from lab.shell import LabError, say

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What a machine has set up for its network, and an engine gives to each container that it builds in.
OF_THE_NETWORK = ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")

# $1 is an empty directory to mount things in, $2 the layers, $3 the directory that is written to, or "" for one that is
# forgotten, $4 the layers of another image, or "". What comes after them is the command.
_MOUNTED = r"""
set -e
place=$1 layers=$2 upper=$3 other=$4
shift 4
mount -t tmpfs -o mode=0755 none "$place"
root=$place/root
mkdir "$root" "$place/upper" "$place/work" "$place/other"
work=$place/work
if [ "$upper" ]; then work=$upper.work; else upper=$place/upper; fi
mount -t overlay -o "lowerdir=$layers,upperdir=$upper,workdir=$work" none "$root"
[ ! "$other" ] || mount -t overlay -o "ro,lowerdir=$other" none "$place/other"
mount -t proc none "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 none "$root/dev/shm"
"""
_RUN = r"""
for file in $FILES; do
    [ ! -e "$file" ] || [ ! -e "$root$file" ] || mount --bind "$file" "$root$file"
done
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$root${2%/*}" && touch "$root$2"; fi
    mount --bind "$1" "$root$2"
    [ "$3" != ro ] || mount -o remount,bind,ro "$root$2"
    shift 3
done
shift
exec env -i "$@"
"""
_COPY = r"""
case $1 in from) from=$place/other$2 ;; *) from=$2 ;; esac
to=$root$3
case $3 in */) mkdir -p "$to" ;; esac
if [ -d "$from" ]; then mkdir -p "$to" && from=$from/.; else mkdir -p "${to%/*}"; fi
cp -R --preserve=mode,timestamps,links "$from" "$to"
"""


@dataclass(frozen=True)
class Bind:
    """A directory or file of this machine in a container."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Image:
    """What a stage has made."""

    layers: tuple[Path, ...]
    key: str
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: str = "/"
    user: str = "root"
    entrypoint: tuple[str, ...] = ()

    def started(
        self,
        place: Path,
        command: Sequence[str],
        *,
        user: str = "0:0",
        binds: Sequence[Bind] = (),
        upper: Path | None = None,
        environment: Mapping[str, str] | None = None,
        with_host: Host | None = None,
    ) -> list[str]:
        """What starts a command in a new container; what it writes is forgotten where no layer is named for it.

        With a host of the lab it has that one's processes and network, and a file system of its own.
        """
        inside = f'cd {shlex.quote(self.directory)} && exec "$@"'
        variables = {"PATH": PATH, **self.environment, **(environment or {})}
        words: list[str] = []
        for bind in binds:
            words += [str(bind.source), bind.target, "ro" if bind.read_only else "rw"]
        words += ["--", *(f"{name}={value}" for name, value in variables.items())]
        words += ["chroot", f"--userspec={user}", "--groups=", str(place / "root"), "/bin/sh", "-c", inside, "sh"]
        script = f"FILES={shlex.quote(' '.join(OF_THE_NETWORK))}\n{_MOUNTED}{_RUN}"
        return _in_namespaces(script, place, self, upper, None, [*words, *command], with_host)


def _in_namespaces(
    script: str,
    place: Path,
    image: Image,
    upper: Path | None,
    other: Image | None,
    words: Sequence[str],
    with_host: Host | None = None,
) -> list[str]:
    layers = ":".join(map(str, image.layers))
    others = ":".join(map(str, other.layers)) if other else ""
    mounting = ["unshare", "--mount", "--propagation=private"]
    namespaces = [*mounting, "--pid", "--fork", "--kill-child"]
    if with_host:
        namespaces = ["nsenter", f"--target={with_host.leader}", "--uts", "--ipc", "--net", "--pid", "--", *mounting]
    return [*namespaces, "sh", "-c", script, "sh", str(place), layers, str(upper or ""), others, *words]


@dataclass(frozen=True)
class Step:
    word: str
    text: str


def steps_of(containerfile: str) -> list[Step]:
    """The steps in their order; words that nothing here carries out are refused."""
    known = ("ARG", "FROM", "USER", "ENV", "COPY", "RUN", "WORKDIR", "LABEL", "ENTRYPOINT", "CMD")
    steps = []
    for line in containerfile.replace("\\\n", "").splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        word, _space, text = line.strip().partition(" ")
        if word not in known:
            raise LabError(f"nothing here carries out this step of a Containerfile: {line}")
        steps.append(Step(word, text.strip()))
    return steps


class Builder:
    """Makes the images of a context below a directory, each stage once for what it is made of."""

    def __init__(self, context: Path, directory: Path, bases: Mapping[str, Image]) -> None:
        self._context = context
        self._directory = directory
        self._place = directory / "container"
        self._bases = dict(bases)
        self._arguments: dict[str, str] = {}
        self._log = directory / "containerfile.log"

    def build(self, containerfile: str) -> Image:
        """The image of the last stage."""
        steps = steps_of(containerfile)
        begins = [number for number, step in enumerate(steps) if step.word == "FROM"]
        for step in steps[: begins[0]]:
            name, _equals, value = step.text.partition("=")
            self._arguments[name] = value.strip('"')
        self._place.mkdir(parents=True, exist_ok=True)
        self._log.write_text("")
        image = None
        for begin, end in zip(begins, [*begins[1:], len(steps)], strict=True):
            base, _as, name = Template(steps[begin].text).substitute(self._arguments).split()
            if base not in self._bases:
                raise LabError(f"there is no image {base} here")
            image = self._bases[name] = self._stage(self._bases[base], name, steps[begin + 1 : end])
        if image is None:
            raise LabError("the Containerfile has no stage")
        return image

    def _stage(self, base: Image, name: str, steps: Sequence[Step]) -> Image:
        made_of = [base.key, PATH, _MOUNTED, _RUN, _COPY, json.dumps(self._arguments)]
        for step in steps:
            made_of += [step.word, step.text]
            if step.word == "COPY":
                source, _to, other = self._copied(step)
                made_of.append(other.key if other else _digest_of(self._context / source))
        key = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:12]
        layer = self._directory / f"container-{name}-{key}"
        there = layer.is_dir()
        upper = layer if there else layer.with_name(f"{layer.name}.unfinished")
        if not there:
            say(f"building the stage {name} of the execution environment")
            for path in (upper, upper.with_name(f"{upper.name}.work")):
                mounts.remove_tree(path)
                path.mkdir()
        image = replace(base, key=key)
        for step in steps:
            image = self._carry_out(image, step, None if there else upper)
        if not there:
            mounts.remove_tree(upper.with_name(f"{upper.name}.work"))
            upper.rename(layer)
        for old in self._directory.glob(f"container-{name}-*"):
            if old != layer:
                mounts.remove_tree(old)
        return replace(image, layers=(layer, *base.layers))

    def _carry_out(self, image: Image, step: Step, upper: Path | None) -> Image:
        """What becomes of the image; its files are changed where there is a layer for that."""
        match step.word:
            case "ENV":
                name, _equals, value = step.text.partition("=")
                return replace(image, environment={**image.environment, name: value})
            case "WORKDIR":
                if upper:
                    self._must(image.started(self._place, ["mkdir", "-p", step.text], upper=upper))
                return replace(image, directory=step.text)
            case "USER":
                return replace(image, user=step.text)
            case "ENTRYPOINT":
                return replace(image, entrypoint=tuple(json.loads(step.text)))
            case "RUN" if image.user != "root":
                raise LabError(f"nothing here runs a step as {image.user}: {step.text}")
            case "RUN" if upper:
                network = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
                variables = {"DEBIAN_FRONTEND": "noninteractive", **network, **self._arguments}
                command = ["/bin/sh", "-c", step.text]
                self._must(image.started(self._place, command, upper=upper, environment=variables))
            case "COPY" if upper:
                source, to, other = self._copied(step)
                words = ["from", source, to] if other else ["", str(self._context / source), to]
                self._must(_in_namespaces(_MOUNTED + _COPY, self._place, image, upper, other, words))
        return image

    def _copied(self, step: Step) -> tuple[str, str, Image | None]:
        *options, source, to = step.text.split()
        names = [option.removeprefix("--from=") for option in options]
        return source, to, self._bases[names[0]] if names else None

    def _must(self, command: Sequence[str]) -> None:
        with self._log.open("a") as log:
            print(f"--- {command[-1]}", file=log, flush=True)
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        if done.returncode:
            last = self._log.read_text(errors="replace").strip().splitlines()[-20:]
            raise LabError(f"this step failed, see {self._log}: {command[-1]}\n" + "\n".join(last))


def _digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(f"{file.relative_to(path)} {file.stat().st_mode & 0o777:o}\0".encode() + file.read_bytes())
    return digest.hexdigest()
