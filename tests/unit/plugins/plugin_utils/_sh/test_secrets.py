# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets on a host: what differs, and that all of them are there, or all of the old ones, wherever it is cut off."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.answer import Answer
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._host.scripts import command, join, program

pytestmark = [
    pytest.mark.shell,
    pytest.mark.skipif(os.getuid() != 0, reason="secrets are root's, and get owners"),
]
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash", "--posix"]}
every_shell = pytest.mark.parametrize("shell", list(SHELLS.values()), ids=list(SHELLS))
NIX = Path(__file__).parents[5] / "nix"
# systemd, as far as it is asked: a unit is what stands in its file.
SYSTEMCTL = """
timeout() {
    shift 3
    [ "$1" = systemd-run ] || { "$@" && return || return; }
    for last; do :; done
    printf '%s\\n' "$last" >ROOT/units/dropper
}
systemctl() {
    [ "$1" != --no-pager ] || shift
    case $1 in
    show) for last; do :; done; cat "ROOT/units/$last" 2>/dev/null || echo LoadState=not-found ;;
    daemon-reload) echo "$1" >>ROOT/asked ;;
    *)
        verb=$1 && shift 2
        for last; do :; done
        [ "$verb" != reset-failed ] || { sed -i /=failed/d "ROOT/units/$last" && return; }
        echo "$verb $last" >>ROOT/asked
        mkdir -p ROOT/run/systemd/units
        [ "$verb" = reload ] || ln -sfn "by $verb" "ROOT/run/systemd/units/invocation:$last"
        # One that hangs until the other ones were asked as well.
        until ! grep -q hangs "ROOT/units/$last" || grep -q "$(sed -n 's/^hangs //p' "ROOT/units/$last")" ROOT/asked; do
            sleep 0.1
        done
        ! grep -q broken "ROOT/units/$last"
        ;;
    esac
}
"""


class Sandbox:
    """A host's directories, and the program of secrets as it would find them."""

    aside = ("run/deploy-flake-secrets/id1", "units", "nix", "mountinfo")

    def __init__(self, shell: list[str], directory: Path) -> None:
        """Below a directory that others have had before: files and programs name where they are."""
        self.shell = shell
        self.root = root = directory / "root"
        self.known = directory / "known"
        shutil.rmtree(root, ignore_errors=True)
        for name in ("run/deploy-flake", "run/secrets", "var/deploy-flake", "etc/systemd", "units"):
            (root / name).mkdir(parents=True)
        (root / "var/deploy-flake").chmod(0o700)
        self.staged = root / "run/deploy-flake-secrets/id1"
        self.system("with-the-module", "deploy-flake-secrets.service")
        self.system("without", "other.service")
        self.path("run/current-system").symlink_to(self.path("nix/store/with-the-module"))
        self.mounts("/ ext4 rw")

    def system(self, name: str, unit: str) -> Path:
        """A system with one unit."""
        made = self.path(f"nix/store/{name}")
        (made / "etc/systemd/system").mkdir(parents=True)
        (made / "etc/systemd/system" / unit).touch()
        return made

    def mounts(self, *lines: str) -> None:
        """What is mounted there, with kind and options."""
        words = [line.split(" ") for line in lines]
        text = "".join(f"36 35 0:{n} / {at} rw shared:1 - {kind} x {how}\n" for n, (at, kind, how) in enumerate(words))
        self.path("mountinfo").write_text(text)

    def of(self, text: str) -> str:
        """A script that knows these directories in the place of the host's."""
        for name in (
            "/run/deploy-flake",
            "/run/systemd",
            "=/etc/systemd",
            "/nix/var",
            "/run/booted-system",
            "/run/current-system",
        ):
            text = text.replace(name, f"={self.root}{name[1:]}" if name.startswith("=") else f"{self.root}{name}")
        text = text.replace("/var/lib/deploy-flake", f"{self.root}/var/deploy-flake")
        text = text.replace("/proc/self/mountinfo", f"{self.root}/mountinfo")
        # Its own directory is not root's alone all the way up.
        text = text.replace("/etc/*)", f"{self.root}/etc/*)")
        text = text.replace("/run/*)", f"{self.root}/run/*)").replace('[ -n "$at" ] || break', "break")
        text = text.replace('"$(stat -f -c %T "$secrets_dir")" = tmpfs', "1 = 1")
        head, main, tail = text.rpartition("\nmain")
        # Tools of this machine, some of them in other words.
        path = f"PATH={os.environ['PATH']}\n"
        return head + "\n" + path + SYSTEMCTL.replace("ROOT", str(self.root)) + main + tail

    def path(self, name: str) -> Path:
        return self.root / name

    def everything(self) -> list[tuple[object, ...]]:
        """All that a program could read, and so all that what it does depends on."""
        found: list[tuple[object, ...]] = []
        for path in sorted(self.root.rglob("*")):
            what = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else ""
            status = path.lstat()
            found.append((str(path), status.st_mode, status.st_uid, status.st_gid, what))
        return found

    def once(self, name: str, does: Callable[[], object]) -> None:
        """Do what many tests begin with, or put there what it has left when it was done from here before."""
        key = hashlib.sha256(repr((name, self.everything())).encode()).hexdigest()
        if (known := self.known / key).exists():
            shutil.rmtree(self.root)
            subprocess.run(["cp", "-a", known, self.root], check=True)
        else:
            does()
            self.known.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", self.root, known], check=True)

    def send(
        self,
        secrets: Mapping[str, tuple[str, str]],
        others: str = "keep",
        cut_off: int = 0,
        **more: str,
    ) -> Answer:
        """What the host says of secrets: name to path and content; where `cut_off`, the connection is lost so early."""
        units, mode, owner = more.get("units", "-"), more.get("mode", "400"), more.get("owner", "0")
        lines = [
            "\t".join((name, str(self.path(path)), owner, "0", mode, str(len(content)), units))
            for name, (path, content) in secrets.items()
        ]
        inputs = {
            "id": "id1",
            "secrets": "".join(f"{line}\n" for line in lines),
            "others": others,
            "new": str(self.path(f"nix/store/{more.get('new', 'with-the-module')}")),
        }
        words = command("secrets", inputs).replace(shlex.quote(program("secrets")), "PROGRAM")
        text = self.of(words).replace("PROGRAM", shlex.quote(self.of(program("secrets"))))
        data = "".join(content for _path, content in secrets.values())[: cut_off or None]
        size = len(text.encode())
        outer = f'eval "$(dd bs={size} count=1 iflag=fullblock 2>/dev/null)"'
        argv = [*self.shell, "-c", outer]
        done = subprocess.run(argv, input=text + data, text=True, capture_output=True, timeout=60, check=False)
        return Answer.parse(done.stdout)

    def does(
        self, task: str, staged: str = "", kill_at: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a task of the program; it dies before a command that has `kill_at` in it."""
        at = self.staged / "program"
        if not at.exists():
            at = self.path("var/deploy-flake/secrets.open/program")
            if not at.exists():
                at = self.path("var/deploy-flake/secrets.over/program")
        argv = [*self.shell, str(at), task, staged or str(self.staged)]
        done = subprocess.run(argv, text=True, capture_output=True, timeout=60, check=False)
        assert not check or done.returncode == 0, done.stderr
        return done

    def files(self) -> dict[str, str]:
        """Each file with its mode and content; what was only sent is left out."""
        return {
            str(file.relative_to(self.root)): f"{file.stat().st_mode & 0o7777:o} {file.read_text()}"
            for file in sorted(self.root.rglob("*"))
            if file.is_file() and not any(file.is_relative_to(self.root / each) for each in self.aside)
        }


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # pytest's own directories are not for others either, and have no links in them.
    return Path(os.path.realpath(tmp_path_factory.mktemp("secrets")))


@pytest.fixture
def sandbox(shell: list[str], directory: Path) -> Sandbox:
    return Sandbox(shell, directory / shell[0])


FIRST = MappingProxyType({"db": ("etc/secrets/db", "one\n"), "token": ("run/secrets/token", "t'o$k`en")})
SECOND = MappingProxyType({"db": ("etc/secrets/db", "two\n"), "token": ("run/secrets/token", "")})
PLACED = {"etc/secrets/db": "400 one\n", "run/secrets/token": "400 t'o$k`en"}
STORED = {"var/deploy-flake/secrets/content/token": "400 t'o$k`en"}


def placed(
    sandbox: Sandbox, secrets: Mapping[str, tuple[str, str]] = FIRST, others: str = "keep", new: str = "with-the-module"
) -> dict[str, str]:
    def place() -> None:
        sandbox.send(secrets, others, new=new)
        for task in ("prepare", "place", "restart", "keep"):
            sandbox.does(task)

    sandbox.once(f"placed {secrets} {others} {new}", place)
    return sandbox.files()


def without_list(files: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in files.items() if not name.endswith("secrets/list")}


@every_shell
def test_secrets_are_placed_once(sandbox: Sandbox) -> None:
    """Where they are as they should be, nothing waits and nothing is touched."""
    before = sandbox.files()
    said = sandbox.send(FIRST)
    etc, run = sandbox.path("etc/secrets/db"), sandbox.path("run/secrets/token")
    assert said.all("secret") == [f"added db {etc}", f"added token {run}"]
    assert sandbox.files() == before
    sandbox.does("prepare")
    assert not etc.exists()
    sandbox.does("place")
    assert {name: text for name, text in sandbox.files().items() if name in PLACED} == PLACED
    sandbox.does("keep")
    assert without_list(sandbox.files()) == PLACED | STORED
    assert sandbox.path("etc/secrets").stat().st_mode & 0o777 == 0o755
    node = etc.stat().st_ino
    assert sandbox.send(FIRST).all("secret") == []
    assert not sandbox.staged.exists()
    assert etc.stat().st_ino == node


@every_shell
def test_what_differs_is_told_and_replaced(sandbox: Sandbox) -> None:
    placed(sandbox)
    etc, run = sandbox.path("etc/secrets/db"), sandbox.path("run/secrets/token")
    said = sandbox.send({"db": SECOND["db"], "token": FIRST["token"]})
    assert said.all("secret") == [f"content db {etc}"]
    etc.chmod(0o644)
    run.unlink()
    assert sandbox.send(FIRST).all("secret") == [f"permissions db {etc}", f"added token {run}"]
    for task in ("prepare", "place", "keep"):
        sandbox.does(task)
    assert without_list(sandbox.files()) == PLACED | STORED


STEPS = ("prepare", "place", "restart")


@every_shell
@pytest.mark.parametrize("steps", [STEPS[:n] for n in range(1, 4)], ids=STEPS)
@pytest.mark.parametrize("back", ["back", "back-files", "at-boot"])
def test_old_ones_are_put_back_after_each_step(sandbox: Sandbox, steps: tuple[str, ...], back: str) -> None:
    before = placed(sandbox)
    nodes = {name: sandbox.path(name).stat().st_ino for name in before}
    sandbox.send({**SECOND, "new": ("etc/other/deep/new", "x")})
    for task in steps:
        sandbox.does(task)
    if back == "at-boot":
        # In this very boot it is the deployment's.
        sandbox.does(back, "-")
        assert sandbox.path("var/deploy-flake/secrets.open").exists()
        sandbox.path("var/deploy-flake/secrets.open/boot").write_text("another boot\n")
    sandbox.does(back, "-")
    assert sandbox.files() == before
    assert {name: sandbox.path(name).stat().st_ino for name in before} == nodes
    assert not sandbox.path("etc/other").exists()
    assert not sandbox.path("etc/systemd/system.attached").exists()
    # Once more, it has nothing to do.
    sandbox.does(back, "-")
    assert sandbox.files() == before


# Every command that changes something counts, and the program dies directly before one of them.
DEADLY = """
dies_before() {
    echo >>ROOT/turns
    [ "$(wc -l <ROOT/turns)" -ne TURN ] || { kill -KILL $$ && sleep 5; }
}
""" + "".join(
    f'{tool}() {{ dies_before && command {tool} "$@"; }}\n'
    for tool in ["chmod", "chown", "ln", "mkdir", "mv", "rm", "rmdir"]
)


@pytest.mark.parametrize("task", ["prepare", "place", "keep", "back-files"])
def test_death_before_each_command(directory: Path, task: str) -> None:
    """Whoever comes after it ends with the old ones or with the new ones, whole, and nothing beside them."""
    new = {"etc/other/new": "400 x", "etc/secrets/db": "400 two\n", "run/secrets/token": "400 "}
    new |= {"var/deploy-flake/secrets/content/token": "400 "}
    turn = 0
    died = True
    while died:
        turn += 1
        sandbox = Sandbox(SHELLS["dash"], directory / "dash")
        placed(sandbox)
        order = ["prepare", "place", task if task.startswith("back") else "keep"]
        sent(sandbox, {**SECOND, "new": ("etc/other/new", "x")}, "remove", *order[: order.index(task)])
        text = (sandbox.staged / "program").read_text()
        deadly = DEADLY.replace("ROOT", str(sandbox.root)).replace("TURN", str(turn))
        (sandbox.staged / "deadly").write_text(text.replace("\nmain()", f"\n{deadly}\nmain()"))
        argv = ["dash", str(sandbox.staged / "deadly"), task, str(sandbox.staged)]
        died = subprocess.run(argv, capture_output=True, timeout=60, check=False).returncode != 0
        (sandbox.root / "turns").unlink()
        decided = task == "keep" and not sandbox.path("var/deploy-flake/secrets.open").exists()
        # The next one, whoever that is.
        sandbox.does("keep" if decided else "back-files")
        now = sandbox.files()
        assert without_list(now) == (new if decided else PLACED | STORED), f"turn {turn}"
        assert not list(sandbox.root.rglob("*.deploy-flake-*")), f"turn {turn}"
        assert not sandbox.path("etc/systemd/system.attached").exists(), f"turn {turn}"
    assert turn > {"prepare": 20, "place": 6, "keep": 8, "back-files": 12}[task]


@every_shell
def test_first_run_that_fails_leaves_what_the_second_has_sent(sandbox: Sandbox) -> None:
    """It has waited for bytes that a lost connection did not bring, and ends after the other one."""
    sandbox.send(FIRST)
    received = {file: file.read_bytes() for file in sandbox.staged.rglob("*") if file.is_file()}
    said = sandbox.send(FIRST, cut_off=5)
    assert said.get("refused") == "no-space"
    assert {file: file.read_bytes() for file in sandbox.staged.rglob("*") if file.is_file()} == received
    assert list(sandbox.staged.parent.iterdir()) == [sandbox.staged]
    # Nor does one that ends well take it away, once the deployment is there.
    settings = sandbox.path("run/deploy-flake/id1/settings")
    settings.parent.mkdir()
    settings.touch(0o600)
    (sandbox.staged / "complaint").touch()
    assert sandbox.send(FIRST).all("secret")
    assert (sandbox.staged / "complaint").exists()
    assert list(sandbox.staged.parent.iterdir()) == [sandbox.staged]
    for task in ("prepare", "place", "keep"):
        sandbox.does(task)
    assert without_list(sandbox.files()) == PLACED | STORED | {"run/deploy-flake/id1/settings": "600 "}


@every_shell
def test_directory_that_another_run_removes_at_that_moment(sandbox: Sandbox) -> None:
    original = sandbox.of
    gone = sandbox.path("once")

    def of(text: str) -> str:
        removes = f'{{ touch {gone}; rmdir "$secrets_dir"; }}'
        hindered = f'mkdir() {{ [ -e {gone} ] || [ "$3" = "$secrets_dir" ] || {removes}; command mkdir "$@"; }}'
        made = original(text)
        return made.replace("\nmain() {", f"\n{hindered}\nmain() {{", 1) if "receiving=" in text else made

    sandbox.of = of  # type: ignore[method-assign]
    assert sandbox.send(FIRST).all("secret")
    assert gone.exists()


@every_shell
@pytest.mark.parametrize(
    "left", ["run/deploy-flake/current", "var/deploy-flake/open.json", "var/deploy-flake/secrets.open/id"]
)
def test_what_another_deployment_has_put_in_place_may_go(sandbox: Sandbox, left: str) -> None:
    """So they wait also where none is different."""
    placed(sandbox)
    sandbox.path(left).parent.mkdir(exist_ok=True)
    sandbox.path(left).touch()
    said = sandbox.send(FIRST)
    assert (said.all("secret"), said.get("secrets_not_sure")) == ([], "yes")
    assert (sandbox.staged / "not-sure").exists()
    assert sandbox.send(FIRST, owner="nobody-of-that-name").get("refused") == "no-user"
    assert not sandbox.staged.exists()


@every_shell
@pytest.mark.parametrize(
    ("there", "stays"),
    [
        ("", False),
        # Its starter has died, or still waits for the name of the unit.
        ("settings", False),
        ("settings state", True),
    ],
)
def test_what_no_deployment_has_come_for_goes_by_itself(sandbox: Sandbox, there: str, stays: bool) -> None:
    """By a timer that systemd has, whoever died."""
    sandbox.send(FIRST)
    begun = sandbox.path("run/deploy-flake/id1")
    for name in there.split():
        begun.mkdir(exist_ok=True)
        (begun / name).touch()
    assert (sandbox.staged / "content/db").exists()
    subprocess.run([*sandbox.shell, str(sandbox.path("units/dropper"))], check=not stays, timeout=60)
    assert sandbox.staged.exists() == stays


@every_shell
def test_what_is_not_listed_any_more(sandbox: Sandbox) -> None:
    """It stays, unless asked for; one that has another path now goes from its old one."""
    placed(sandbox)
    db = {"db": ("etc/secrets/db2", "one\n")}
    said = sandbox.send(db)
    assert said.all("secret") == [
        f"added db {sandbox.path('etc/secrets/db2')}",
        f"removed db {sandbox.path('etc/secrets/db')}",
    ]
    kept = placed(sandbox, db)
    assert (
        without_list(kept)
        == {"etc/secrets/db2": "400 one\n", "run/secrets/token": PLACED["run/secrets/token"]} | STORED
    )
    said = sandbox.send(db, others="remove")
    assert said.all("secret") == [f"removed token {sandbox.path('run/secrets/token')}"]
    sandbox.does("prepare")
    sandbox.does("place")
    assert not sandbox.path("run/secrets/token").exists()
    sandbox.does("back", "-")
    assert sandbox.files() == kept
    assert without_list(placed(sandbox, db, others="remove")) == {"etc/secrets/db2": "400 one\n"}
    assert placed(sandbox, {}, others="remove") == {}


@every_shell
def test_names_that_are_the_same_number(sandbox: Sandbox) -> None:
    placed(sandbox, {"1": ("run/secrets/1", "one"), "1e1": ("etc/secrets/10", "ten")})
    said = sandbox.send({"01": ("run/secrets/01", "one"), "10": ("etc/secrets/010", "ten")}, others="remove")
    gone = [f"removed 1 {sandbox.path('run/secrets/1')}", f"removed 1e1 {sandbox.path('etc/secrets/10')}"]
    assert said.all("secret")[2:] == gone
    assert placed(sandbox, {"01": ("run/secrets/01", "one")})["run/secrets/1"] == "400 one"


@every_shell
def test_what_somebody_else_has_changed_meanwhile_stays(sandbox: Sandbox) -> None:
    placed(sandbox)
    sandbox.send(SECOND)
    sandbox.does("prepare")
    sandbox.does("place")
    etc = sandbox.path("etc/secrets/db")
    etc.unlink()
    etc.write_text("theirs")
    assert str(etc) in sandbox.does("back", "-").stdout
    assert etc.read_text() == "theirs"
    assert sandbox.path("run/secrets/token").read_text() == FIRST["token"][1]
    assert sorted(file.name for file in etc.parent.iterdir()) == ["db"]

    sandbox.send(SECOND)
    sandbox.does("prepare")
    etc.unlink()
    etc.write_text("theirs, later")
    failed = sandbox.does("place", check=False)
    assert failed.returncode == 1
    assert "somebody else has changed it" in (sandbox.staged / "complaint").read_text()


def begun(sandbox: Sandbox, secrets: Mapping[str, tuple[str, str]] = SECOND, others: str = "keep") -> None:
    """A deployment that has put them in place, in the place of others."""
    placed(sandbox)
    sent(sandbox, secrets, others, "prepare", "place")


def sent(sandbox: Sandbox, secrets: Mapping[str, tuple[str, str]], others: str, *tasks: str) -> None:
    """They are sent, and so far the program has come with them."""

    def send() -> None:
        sandbox.send(secrets, others)
        for task in tasks:
            sandbox.does(task)

    sandbox.once(f"sent {secrets} {others} {tasks}", send)


@every_shell
@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("rm etc/secrets/db", "etc/secrets/db any more as it was put there, it is gone"),
        ("rm run/secrets/token", "run/secrets/token any more as it was put there, it is gone"),
        ("ln -sf /etc/passwd etc/secrets/db", "etc/secrets/db that is no regular file"),
        ("cp etc/secrets/db x && echo x >x && mv x etc/secrets/db", "it has another content"),
        ("echo more >>etc/secrets/db", "it has another content"),
        ("chmod 644 etc/secrets/db", "it is of root:root, mode 644"),
        ("chown 65534 etc/secrets/db", "mode 400"),
        ("chown 65534 etc/secrets", "etc/secrets, in which others than root can write"),
        ("chmod 1777 etc/secrets", "etc/secrets, in which others than root can write"),
        ("mv etc/secrets etc/x && ln -s x etc/secrets", "a link in"),
        ("rm -r etc/secrets", "etc/secrets/db any more as it was put there, it is gone"),
        # What this deployment has not touched is asked for all the same.
        ("rm run/secrets/same", "run/secrets/same any more as it was put there, it is gone"),
        ("echo x >run/secrets/gone", "run/secrets/gone, which was removed, is there again"),
        ("ln -s x run/secrets/gone", "run/secrets/gone, which was removed, is there again"),
        ("rm var/deploy-flake/secrets/list", "is not in"),
        ("rm var/deploy-flake/secrets/content/token", "is not in"),
    ],
)
def test_what_is_not_in_its_place_any_more_is_told(sandbox: Sandbox, made: str, words: str) -> None:
    """An activation, tmpfiles or somebody else did that, and nothing of it may be called a success."""
    same = {"same": ("run/secrets/same", "same")}
    placed(sandbox, {**FIRST, **same, "gone": ("run/secrets/gone", "x")})
    sent(sandbox, {**SECOND, **same}, "remove", "prepare", "place", "restart", "verify")
    subprocess.run(["sh", "-c", made], cwd=sandbox.root, check=True)
    assert sandbox.does("verify", check=False).returncode == 1
    told = (sandbox.staged / "complaint").read_text()
    assert words in told
    assert "environment.etc" in told
    # Nothing of what it looks at is what the rest of it works with.
    assert sandbox.path("var/deploy-flake/secrets.open").exists()


@every_shell
@pytest.mark.parametrize("why", ["another", "new"])
def test_what_was_the_same_before_is_looked_at_too(sandbox: Sandbox, why: str) -> None:
    """They wait for a deployment that has to look again in its turn, and for one that brings another system."""
    placed(sandbox)
    if why == "another":
        sandbox.path("var/deploy-flake/open.json").touch()
        assert sandbox.send(FIRST).get("secrets_not_sure") == "yes"
    else:
        assert sandbox.send(FIRST).get("secrets_wait") == ""
        assert not sandbox.staged.exists()
        # Whoever sends none has none to look at.
        assert sandbox.send({}, new="other").get("secrets_wait") == ""
        sandbox.system("other", "deploy-flake-secrets.service")
        said = sandbox.send(FIRST, new="other")
        assert (said.all("secret"), said.get("secrets_wait")) == ([], "yes")
    for task in ("prepare", "place", "restart", "verify"):
        sandbox.does(task)
    sandbox.path("etc/secrets/db").unlink()
    assert sandbox.does("verify", check=False).returncode == 1


@every_shell
@pytest.mark.parametrize("whose", ["nix/store/etc", "elsewhere"])
def test_link_that_an_activation_has_made_there(sandbox: Sandbox, whose: str) -> None:
    """It would go with its system, and the old secret would be gone for good."""
    begun(sandbox)
    before = PLACED | STORED
    leads_to = sandbox.path(whose)
    leads_to.mkdir(parents=True)
    at = sandbox.staged / "program"
    at.write_text(at.read_text().replace("/nix/store/*)", f"{sandbox.root}/nix/store/*)"))
    etc = sandbox.path("etc/secrets/db")
    etc.unlink()
    etc.symlink_to(leads_to)
    assert (str(etc) in sandbox.does("back").stdout) == etc.is_symlink() == (whose == "elsewhere")
    if whose == "elsewhere":
        etc.unlink()
        before = {name: text for name, text in before.items() if name != "etc/secrets/db"}
    assert without_list(sandbox.files()) == before


@every_shell
@pytest.mark.parametrize("back", ["back", "back-files", "at-boot"])
def test_new_one_that_somebody_has_removed_meanwhile(sandbox: Sandbox, back: str) -> None:
    """The old one comes back all the same."""
    before = placed(sandbox)
    sandbox.send(SECOND)
    sandbox.does("prepare")
    sandbox.does("place")
    sandbox.path("etc/secrets/db").unlink()
    if back == "at-boot":
        sandbox.path("var/deploy-flake/secrets.open/boot").write_text("another boot\n")
    assert "somebody else" not in sandbox.does(back, "-").stdout
    assert sandbox.files() == before


@every_shell
def test_what_nobody_has_any_more(sandbox: Sandbox) -> None:
    """It is no success, and hinders no deployment that brings it again."""
    placed(sandbox)
    sandbox.send(SECOND)
    sandbox.does("prepare")
    sandbox.does("place")
    etc = sandbox.path("etc/secrets")
    etc.rename(f"{etc}-elsewhere")
    done = sandbox.does("back", "-", check=False)
    assert (done.returncode, f"somebody else has removed them: {etc}/db" in done.stdout) == (1, True)
    assert not sandbox.path("var/deploy-flake/secrets.open").exists()
    assert sandbox.path("run/secrets/token").read_text() == FIRST["token"][1]
    assert placed(sandbox)["etc/secrets/db"] == PLACED["etc/secrets/db"]


@every_shell
@pytest.mark.parametrize("point", ["is there", "is gone"])
@pytest.mark.parametrize(
    ("mounted", "then"),
    [
        (["/ ext4 rw", "AT ext4 rw"], ["/ ext4 rw"]),
        # Another one was mounted over it.
        (["/ ext4 rw"], ["/ ext4 rw", "AT ext4 rw"]),
    ],
    ids=["unmounted", "mounted over"],
)
@pytest.mark.parametrize("back", ["back", "at-boot"])
def test_what_is_not_mounted_is_not_lost(
    sandbox: Sandbox, point: str, mounted: list[str], then: list[str], back: str
) -> None:
    """Neither the old one nor one that is new, and where nothing is mounted the directory may be there all the same."""
    etc, others = sandbox.path("etc/secrets"), sandbox.path("not-mounted")
    before = placed(sandbox)
    sandbox.mounts(*(line.replace("AT", str(etc)) for line in mounted))
    sent(sandbox, {**SECOND, "new": ("etc/secrets/new", "x")}, "keep", "prepare", "place")
    etc.rename(others)
    if point == "is there":
        etc.mkdir(0o755)
    sandbox.mounts(*(line.replace("AT", str(etc)) for line in then))
    if back == "at-boot":
        sandbox.path("var/deploy-flake/secrets.open/boot").write_text("another boot\n")
    done = sandbox.does(back, "-", check=False)
    assert (done.returncode, f"put back: {etc}/db {etc}/new; have their file" in done.stdout) == (1, True), done
    assert sandbox.path("var/deploy-flake/secrets.open").exists()
    if point == "is there":
        etc.rmdir()
    others.rename(etc)
    sandbox.mounts(*(line.replace("AT", str(etc)) for line in mounted))
    sandbox.does("back", "-")
    assert sandbox.files() == before


@every_shell
def test_what_was_there_before_is_given_up(sandbox: Sandbox) -> None:
    """By hand, where it cannot be put back: what is there now stays, and nothing of the old one."""
    placed(sandbox)
    sandbox.send(SECOND)
    for task in ("prepare", "place"):
        sandbox.does(task)
    now = {**PLACED, **{name: text for name, text in sandbox.files().items() if name in PLACED}}
    at = sandbox.path("var/deploy-flake/secrets.open/program")
    current = sandbox.path("run/deploy-flake/current")
    # Where there is a deployment, it is at it.
    current.touch()
    argv = [*sandbox.shell, str(at), "give-up"]
    refused = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, "deploy again first" in refused.stderr, at.exists()) == (1, True, True)
    current.unlink()
    subprocess.run(argv, timeout=60, check=True)
    assert {name: text for name, text in sandbox.files().items() if name in PLACED} == now
    assert not list(sandbox.root.rglob("*.deploy-flake-*"))
    assert not sandbox.path("etc/systemd/system.attached").exists()
    assert [file.name for file in sandbox.path("var/deploy-flake").iterdir()] == ["secrets"]


@every_shell
def test_mount_point_with_a_blank(sandbox: Sandbox) -> None:
    """The kernel names it with three digits in its place; what is mounted there or not is found all the same."""
    at = sandbox.path("etc/two words")
    at.mkdir(0o755)
    sandbox.mounts("/ ext4 rw", f"{str(at).replace(' ', chr(92) + '040')} ext4 rw")
    sandbox.send({"db": ("etc/two words/db", "one\n")})
    sandbox.does("prepare")
    assert f"{at}\t{at}\n" in sandbox.path("var/deploy-flake/secrets.open/mounts").read_text()
    sandbox.does("place")
    mounted = sandbox.path("mountinfo").read_text()
    sandbox.mounts("/ ext4 rw")
    assert sandbox.does("back", "-", check=False).returncode == 1
    sandbox.path("mountinfo").write_text(mounted)
    sandbox.does("back", "-")
    assert not (at / "db").exists()


@every_shell
def test_links_above_are_not_followed(sandbox: Sandbox) -> None:
    """Neither where one is to go, nor on the way back: whoever has made one leads root to a file of their choice."""
    placed(sandbox)
    etc = sandbox.path("etc/secrets")
    theirs = sandbox.path("etc/theirs")
    theirs.mkdir()
    (theirs / "db").write_text("theirs")
    sandbox.send(SECOND)
    sandbox.does("prepare")
    sandbox.does("place")
    etc.rename(f"{etc}-elsewhere")
    etc.symlink_to("theirs")
    assert f"they stay: {etc}/db" in sandbox.does("back", "-").stdout
    said = sandbox.send({}, others="remove")
    assert said.get("refused") == "bad-secret"
    assert f"cannot remove the secret db from {etc}/db, above which is a link" in said.get("message")
    assert [file.name for file in theirs.iterdir()] == ["db"]
    # Once it was removed by hand, there is nothing to refuse.
    (theirs / "db").unlink()
    assert sandbox.send({}, others="remove").get("refused") == ""


@every_shell
@pytest.mark.parametrize("given", [SECOND, {"db": SECOND["db"]}], ids=["other", "same"])
def test_what_is_below_run_is_had_from_the_store(sandbox: Sandbox, given: Mapping[str, tuple[str, str]]) -> None:
    """Where somebody has removed both; also where it was to go."""
    before = placed(sandbox)
    sandbox.send(given, others="remove")
    sandbox.does("prepare")
    sandbox.does("place")
    shutil.rmtree(sandbox.path("run/secrets"))
    sandbox.path("run/secrets").mkdir(0o755)
    assert sandbox.does("back", "-").stdout == ""
    assert sandbox.files() == before


@every_shell
def test_power_cut_takes_what_is_below_run(sandbox: Sandbox) -> None:
    """That is no loss: it is in the store. Nor is the file system that it may have been on, which nobody can mount."""
    before = placed(sandbox)
    sandbox.mounts("/ ext4 rw", f"{sandbox.path('run/secrets')} ramfs rw")
    sandbox.send(SECOND)
    sandbox.does("prepare")
    sandbox.does("place")
    sandbox.path("var/deploy-flake/secrets.open/boot").write_text("another boot\n")
    shutil.rmtree(sandbox.path("run"))
    sandbox.mounts("/ ext4 rw")
    assert sandbox.does("at-boot", "-").stdout == ""
    assert sandbox.files() == {name: text for name, text in before.items() if not name.startswith("run/")}


@every_shell
@pytest.mark.parametrize(
    ("made", "words"),
    [
        ("mkdir -p etc/secrets/db", "no regular file"),
        ("mkdir etc/secrets && ln -s /etc/passwd etc/secrets/db", "no regular file"),
        ("mkdir etc/other && ln -s other etc/secrets", "is a link in"),
        ("touch etc/secrets", "which is no directory"),
        ("mkdir -m 0775 etc/secrets", "in which others than root can write"),
        ("mkdir -m 1777 etc/secrets", "in which others than root can write"),
        ("mkdir etc/secrets && chown 65534 etc/secrets", "in which others than root can write"),
        ("chown 65534 etc", "in which others than root can write"),
    ],
)
def test_places_that_are_refused(sandbox: Sandbox, made: str, words: str) -> None:
    subprocess.run(["sh", "-c", made], cwd=sandbox.root, check=True)
    said = sandbox.send(FIRST)
    assert (said.get("refused"), words in said.get("message")) == ("bad-secret", True), said
    assert not sandbox.staged.exists()


@every_shell
@pytest.mark.parametrize("whose", ["new", "running"])
@pytest.mark.parametrize("made", ["file", "link"])
def test_path_that_a_system_has_in_its_etc(sandbox: Sandbox, whose: str, made: str) -> None:
    """Its activation would take both the old one and the new one away, so it is refused before anything is touched."""
    placed(sandbox)
    before = sandbox.files()
    store = sandbox.path("nix/store")
    system = sandbox.system("other", "deploy-flake-secrets.service") if whose == "new" else store / "with-the-module"
    # In a sandbox /etc is somewhere else.
    at = Path(f"{system}{sandbox.path('etc/secrets/db')}")
    at.parent.mkdir(parents=True)
    if made == "file":
        at.touch()
    else:
        at.symlink_to("/nowhere")
    said = sandbox.send(SECOND, new="other" if whose == "new" else "with-the-module")
    assert (said.get("refused"), f"{system} (environment.etc)" in said.get("message")) == ("bad-secret", True)
    assert sandbox.files() == before


@every_shell
def test_owner_who_is_not_there(sandbox: Sandbox) -> None:
    said = sandbox.send(FIRST, owner="nobody-of-that-name")
    assert (said.get("refused"), "nobody-of-that-name" in said.get("message")) == ("no-user", True)
    assert sandbox.send(FIRST, owner="65534").all("secret")
    for task in ("prepare", "place", "keep"):
        sandbox.does(task)
    assert sandbox.path("etc/secrets/db").stat().st_uid == 65534
    assert not sandbox.send(FIRST, owner="65534").all("secret")


@every_shell
def test_units_are_restarted_once(sandbox: Sandbox) -> None:
    """Those that run or have failed, and have not been started since; a reload is none where it is restarted."""
    runs = sandbox.path("run/systemd/units")
    runs.mkdir(parents=True)
    for name, state in {"a": "active", "b": "inactive", "c": "active", "d": "failed", "e": "active"}.items():
        sandbox.path(f"units/{name}.service").write_text(f"LoadState=loaded\nActiveState={state}\n")
        (runs / f"invocation:{name}.service").symlink_to(f"run-{name}")
    units = " ".join(f"restart:{name}.service" for name in "abcd") + " reload:a.service reload:e.service"
    sandbox.send(FIRST, units=units)
    sandbox.does("prepare")
    sandbox.does("place")
    # The switch has started this one.
    (runs / "invocation:c.service").unlink()
    (runs / "invocation:c.service").symlink_to("another")
    sandbox.does("restart")
    asked = sandbox.path("asked")
    assert sorted(asked.read_text().splitlines()) == ["reload e.service", "restart a.service", "restart d.service"]
    asked.unlink()
    # But for what nobody has started since.
    sandbox.does("back", "-")
    back = [f"try-restart {name}.service" for name in "acd"]
    assert sorted(asked.read_text().splitlines()) == ["reload e.service", *back]


@every_shell
def test_unit_that_starts_while_they_are_put_in_place(sandbox: Sandbox) -> None:
    """It may have read the old ones."""
    runs = sandbox.path("run/systemd/units")
    runs.mkdir(parents=True)
    (runs / "invocation:a.service").symlink_to("run-a")
    sandbox.path("units/a.service").write_text("LoadState=loaded\nActiveState=active\n")
    sandbox.send(FIRST, units="restart:a.service")
    sandbox.does("prepare")
    at = sandbox.staged / "program"
    starts = f"place_files() {{ ln -sfn another '{runs}/invocation:a.service'; "
    assert "\nplace_files() { " in at.read_text()
    at.write_text(at.read_text().replace("\nplace_files() { ", f"\n{starts}"))
    sandbox.does("place")
    sandbox.does("restart")
    assert sandbox.path("asked").read_text() == "restart a.service\n"


@every_shell
def test_unit_that_starts_by_itself_while_a_reboot_is_asked_for(sandbox: Sandbox) -> None:
    """They are in place while the deployment waits, and put there once more as it commits: it has the new ones."""
    runs = sandbox.path("run/systemd/units")
    runs.mkdir(parents=True)
    for name in "ab":
        (runs / f"invocation:{name}.service").symlink_to(f"run-{name}")
        sandbox.path(f"units/{name}.service").write_text("LoadState=loaded\nActiveState=active\n")
    sandbox.send(FIRST, units="restart:a.service restart:b.service")
    sandbox.does("prepare")
    sandbox.does("place")
    (runs / "invocation:a.service").unlink()
    (runs / "invocation:a.service").symlink_to("another")
    sandbox.does("place")
    sandbox.does("back", "-")
    assert sandbox.path("asked").read_text() == "try-restart a.service\n"


@every_shell
def test_units_are_asked_when_the_files_are_back(sandbox: Sandbox) -> None:
    """Whoever is killed meanwhile, the next one asks again, and the files are back for good."""
    before = placed(sandbox)
    sandbox.path("units/a.service").write_text("LoadState=loaded\nActiveState=active\n")
    sandbox.send(SECOND, units="restart:a.service")
    sandbox.does("prepare")
    sandbox.does("place")
    at = sandbox.path("var/deploy-flake/secrets.open/program")
    sandbox.does("restart")
    sandbox.path("asked").unlink()
    dies = at.read_text().replace("\nunits_back() {", "\nunits_back() { kill -KILL $$; sleep 5; }\nnever() {")
    (sandbox.staged / "program").write_text(dies)
    assert sandbox.does("back", "-", check=False).returncode != 0
    assert not at.exists()
    assert sandbox.path("var/deploy-flake/secrets.over").exists()
    shutil.rmtree(sandbox.staged)
    sandbox.does("back", "-")
    assert sandbox.path("asked").read_text() == "try-restart a.service\n"
    sandbox.path("asked").unlink()
    assert sandbox.files() == before


@every_shell
def test_units_that_hang_hold_up_no_other_one(sandbox: Sandbox) -> None:
    """Neither on the way there nor back: each waits here until the other ones were asked."""
    for name, others in {"a": "b", "b": "c", "c": "a"}.items():
        about = f"LoadState=loaded\nActiveState=active\nhangs {others}.service\n"
        sandbox.path(f"units/{name}.service").write_text(about)
    sandbox.send(FIRST, units="restart:a.service reload:b.service restart:c.service")
    for task in ("prepare", "place", "restart"):
        sandbox.does(task)
    asked = sandbox.path("asked")
    assert sorted(asked.read_text().splitlines()) == ["reload b.service", "restart a.service", "restart c.service"]
    asked.unlink()
    sandbox.does("back", "-")
    back = ["reload b.service", "try-restart a.service", "try-restart c.service"]
    assert sorted(asked.read_text().splitlines()) == back


@every_shell
@pytest.mark.parametrize(
    ("about", "task", "said"),
    [
        ("", "restart", "a.service (there is no such unit)\n"),
        ("LoadState=loaded\nActiveState=active\nbroken", "restart", "a.service\n"),
        (
            "LoadState=loaded\nActiveState=active\nCanReload=no",
            "reload",
            "a.service (it has no reload; name it in restart_units)\n",
        ),
    ],
)
def test_unit_that_cannot_be_restarted(sandbox: Sandbox, about: str, task: str, said: str) -> None:
    if about:
        sandbox.path("units/a.service").write_text(about)
    sandbox.send(FIRST, units=f"{task}:a.service")
    sandbox.does("prepare")
    sandbox.does("place")
    assert sandbox.does("restart", check=False).returncode == 1
    assert (sandbox.staged / "failed").read_text() == said
    assert "a.service" in (sandbox.staged / "complaint").read_text()


@every_shell
def test_what_was_confirmed_stays_at_the_boot(sandbox: Sandbox) -> None:
    """Where the host boots what was confirmed, or would."""
    placed(sandbox)
    sandbox.send(SECOND)
    sandbox.does("prepare")
    sandbox.does("place")
    new = sandbox.path("nix/store/new")
    new.mkdir(parents=True)
    profile = sandbox.path("nix/var/nix/profiles/system")
    profile.parent.mkdir(parents=True)
    profile.symlink_to(new)
    var = sandbox.path("var/deploy-flake")
    (var / "secrets.open/boot").write_text("another boot\n")
    (var / "open.json").write_text(f'{{\n"id": "id1",\n"new": "{new}"\n}}\n')
    (var / "open.confirmed").write_text("id1\n")
    sandbox.does("at-boot", "-")
    assert sandbox.path("etc/secrets/db").read_text() == "two\n"
    assert (var / "secrets.open").exists()
    # Of another deployment it says nothing.
    (var / "open.confirmed").write_text("id2\n")
    sandbox.does("at-boot", "-")
    assert sandbox.path("etc/secrets/db").read_text() == "one\n"
    assert not (var / "secrets.open").exists()


@every_shell
def test_secrets_alone_that_were_confirmed_stay_whatever_boots(sandbox: Sandbox) -> None:
    placed(sandbox)
    sandbox.send(SECOND)
    sandbox.does("prepare")
    sandbox.does("place")
    var = sandbox.path("var/deploy-flake")
    (var / "secrets.open/boot").write_text("another boot\n")
    (var / "open.json").write_text('{\n"id": "id1",\n"new": "/nix/store/x",\n"only_secrets": "yes"\n}\n')
    (var / "open.confirmed").write_text("id1\n")
    sandbox.does("at-boot", "-")
    assert sandbox.path("etc/secrets/db").read_text() == "two\n"
    assert (var / "secrets.open").exists()


@every_shell
@pytest.mark.parametrize("back", ["back", "back-files", "at-boot"])
def test_what_is_put_back_is_not_confirmed_any_more(sandbox: Sandbox, back: str) -> None:
    """From before the first file is: whoever comes after a power cut may find no change, and believes the mark."""
    begun(sandbox)
    var = sandbox.path("var/deploy-flake")
    (var / "open.json").write_text('{\n"id": "id1",\n"new": "/nix/store/x"\n}\n')
    (var / "open.confirmed").write_text("id1\n")
    (var / "secrets.open/boot").write_text("another boot\n")
    text = (sandbox.staged / "program").read_text()
    dies = text.replace("\nput_files_back() {", "\nput_files_back() { kill -KILL $$; sleep 5; }\nnever() {")
    (sandbox.staged / "program").write_text(dies)
    assert sandbox.does(back, check=False).returncode != 0
    assert sandbox.path("etc/secrets/db").read_text() == "two\n"
    marks = [] if back == "at-boot" else ["open.undone"]
    assert sorted(file.name for file in var.glob("open.*")) == ["open.json", *marks]
    (sandbox.staged / "program").write_text(text)
    sandbox.does("at-boot")
    assert sandbox.path("etc/secrets/db").read_text() == "one\n"


@every_shell
@pytest.mark.parametrize(
    ("mark", "moved", "left"),
    [
        # Whoever makes the new system the boot default after this boot is somebody else.
        ("confirmed", False, []),
        ("undone", False, []),
        # An undo has not come to the profile, so that is the repair's.
        ("undone", True, ["open.undone"]),
    ],
)
def test_what_a_boot_has_put_back_had_not_moved_the_boot_default(
    sandbox: Sandbox, mark: str, moved: bool, left: list[str]
) -> None:
    begun(sandbox)
    var, new = sandbox.path("var/deploy-flake"), sandbox.path("nix/store/new")
    new.mkdir(parents=True)
    if moved:
        sandbox.path("nix/var/nix/profiles").mkdir(parents=True)
        sandbox.path("nix/var/nix/profiles/system").symlink_to(new)
    (var / "open.json").write_text(f'{{\n"id": "id1",\n"new": "{new}"\n}}\n')
    (var / f"open.{mark}").write_text("id1\n")
    (var / "secrets.open/boot").write_text("another boot\n")
    sandbox.does("at-boot", "-")
    assert sandbox.path("etc/secrets/db").read_text() == "one\n"
    assert [file.name for file in var.glob("open.*") if file.name != "open.json"] == left


@every_shell
def test_nothing_is_put_back_where_that_cannot_be_written_down(sandbox: Sandbox) -> None:
    begun(sandbox)
    (sandbox.path("var/deploy-flake") / "open.confirmed").write_text("id1\n")
    at = sandbox.staged / "program"
    at.write_text(at.read_text().replace('mv -f "$var_dir/open.confirmed"', 'false "$var_dir/open.confirmed"'))
    assert sandbox.does("back", check=False).returncode == 1
    assert sandbox.path("etc/secrets/db").read_text() == "two\n"
    assert sandbox.path("var/deploy-flake/secrets.open").exists()


def line(sandbox: Sandbox, outcome: str) -> None:
    """What the deployment has become, in the list of all."""
    made = f'{{"id": "id1", "by": "x", "outcome": "{outcome}", "started": "x"}}\n'
    sandbox.path("var/deploy-flake/deployments.jsonl").write_text(made)


@every_shell
@pytest.mark.parametrize("asked", ["at-boot", "back", "back-files", "keep"])
def test_what_was_committed_is_never_put_back(sandbox: Sandbox, asked: str) -> None:
    """A power cut between its line and its end, which has taken its mark away."""
    placed(sandbox)
    sandbox.send(SECOND)
    sandbox.does("prepare")
    sandbox.does("place")
    line(sandbox, "committed")
    (sandbox.path("var/deploy-flake") / "secrets.open/boot").write_text("another boot\n")
    sandbox.does(asked, "-")
    assert sandbox.path("etc/secrets/db").read_text() == "two\n"
    # The next deployment ends it.
    sandbox.does("back", "-")
    assert sandbox.path("etc/secrets/db").read_text() == "two\n"
    assert not list(sandbox.root.rglob("*.deploy-flake-*"))
    assert not sandbox.path("var/deploy-flake/secrets.open").exists()
    assert not sandbox.path("etc/systemd/system.attached").exists()


@every_shell
@pytest.mark.parametrize("outcome", ["superseded", "commit-failed"])
def test_what_was_begun_to_be_put_back_is_never_kept(sandbox: Sandbox, outcome: str) -> None:
    """Also where the deployment ends as one that keeps what it has."""
    before = placed(sandbox)
    sandbox.send(SECOND)
    sandbox.does("prepare")
    sandbox.does("place")
    etc = sandbox.path("etc/secrets")
    etc.rename(f"{etc}-elsewhere")
    sandbox.mounts("/else ext4 rw")
    assert sandbox.does("back", "-", check=False).returncode == 1
    line(sandbox, outcome)
    assert sandbox.does("keep", "-", check=False).returncode == 1
    Path(f"{etc}-elsewhere").rename(etc)
    sandbox.mounts("/ ext4 rw")
    (sandbox.path("var/deploy-flake") / "secrets.open/boot").write_text("another boot\n")
    sandbox.does("at-boot", "-")
    sandbox.path("var/deploy-flake/deployments.jsonl").unlink()
    assert sandbox.files() == before


@every_shell
@pytest.mark.parametrize(
    ("mounts", "gone"),
    [
        (["/ ext4 rw"], False),
        (["/ tmpfs rw,size=1g"], True),
        (["/ ramfs rw"], True),
        (["/ tmpfs rw", "ROOT/etc btrfs rw"], False),
        (["/ btrfs rw", "ROOT/etc tmpfs rw"], True),
        (["/ btrfs rw", "ROOT/etcetera tmpfs rw"], False),
        # The later one hides the other one.
        (["ROOT/etc btrfs rw", "ROOT/etc tmpfs rw"], True),
        # Its name has a blank, for which the kernel has three digits.
        (["/ tmpfs rw", "ROOT/etc overlay rw,lowerdir=/a,upperdir=ROOT/var\\0405,workdir=/b"], True),
        (["/ tmpfs rw", "ROOT/var\\0405 ext4 rw", "ROOT/etc overlay rw,upperdir=ROOT/var\\0405"], False),
        # NixOS's own, on a root that lasts and on one that does not; mounted by the initrd.
        (["/ btrfs rw", "ROOT/etc overlay rw,lowerdir=/a,upperdir=ROOT/var,workdir=/b"], False),
        (["/ tmpfs rw", "ROOT/etc overlay rw,lowerdir=/a,upperdir=ROOT/var,workdir=/b"], True),
        (["/ tmpfs rw", "ROOT/etc overlay rw,lowerdir=/a,upperdir=/sysrootROOT/var,workdir=/b"], True),
        (["/ tmpfs rw", "ROOT/etc overlay rw,lowerdir=/a,upperdir=/mnt-rootROOT/var"], True),
        # What is not seen here, as in a container.
        (["/ overlay rw,lowerdir=/a,upperdir=/not/here,workdir=/b"], False),
    ],
)
def test_unit_for_the_next_boot_would_be_gone_then(sandbox: Sandbox, mounts: list[str], gone: bool) -> None:
    before = sandbox.files()
    sandbox.path("var 5").mkdir()
    sandbox.mounts(*(each.replace("ROOT", str(sandbox.root)) for each in mounts))
    sandbox.send(FIRST)
    assert sandbox.does("prepare", check=False).returncode == int(gone)
    if gone:
        assert "import the NixOS module" in (sandbox.staged / "complaint").read_text()
    sandbox.does("back-files", "-")
    assert sandbox.files() == before


@every_shell
def test_what_no_boot_brings_back_is_told_and_not_kept(sandbox: Sandbox) -> None:
    """In plain text in the store only where the new system or the one that boots reads it there."""
    assert sandbox.send(FIRST, new="without").all("secret_goes_with_boot") == ["token"]
    assert sandbox.send(FIRST).all("secret_goes_with_boot") == []
    assert without_list(placed(sandbox, new="without")) == PLACED
    # One that lasts, on what does not.
    sandbox.mounts("/ tmpfs rw")
    more = {**FIRST, "new": ("etc/secrets/new", "x")}
    assert sandbox.send(more).all("secret_goes_with_boot") == ["new"]
    sandbox.mounts("/ ext4 rw")
    # The module comes, and goes.
    token = sandbox.path("run/secrets/token")
    assert sandbox.send(FIRST).all("secret") == [f"listed token {token}"]
    assert without_list(placed(sandbox)) == PLACED | STORED
    profile = sandbox.path("nix/var/nix/profiles/system")
    profile.parent.mkdir(parents=True)
    profile.symlink_to(sandbox.path("nix/store/with-the-module"))
    assert sandbox.send(FIRST, new="without").all("secret") == []
    assert sandbox.send(SECOND, new="without").all("secret_goes_with_boot") == ["token"]
    profile.unlink()
    assert sandbox.send(FIRST, new="without").all("secret") == [f"listed token {token}"]
    assert without_list(placed(sandbox, new="without")) == PLACED


@every_shell
def test_unit_for_the_next_boot(sandbox: Sandbox) -> None:
    sandbox.send(FIRST | {"odd": ("etc/a b%c/odd", "x")})
    sandbox.does("prepare")
    unit = sandbox.path("etc/systemd/system.attached/deploy-flake-secrets-back.service")
    wanted = unit.parent / "sysinit.target.wants" / unit.name
    assert wanted.resolve() == unit
    text = unit.read_text()
    started = shlex.split(text.partition("ExecStart=")[2].splitlines()[0])
    assert started[-3:] == [str(sandbox.path("var/deploy-flake/secrets.open/program")), "at-boot", "-"]
    assert f"ConditionPathExists=!{sandbox.path('run/deploy-flake-secrets')}\n" in text
    needed = shlex.split(text.partition("RequiresMountsFor=")[2].splitlines()[0].replace("%%", "%"))
    assert {str(sandbox.path("var/deploy-flake")), f"{sandbox.path('etc/a b%c')}/"} <= set(needed)
    # A switch has had systemd load it, or a boot could not put them back.
    sandbox.path(f"units/{unit.name}").write_text("LoadState=loaded\nActiveState=failed\n")
    sandbox.does("back", "-")
    assert sandbox.path(f"units/{unit.name}").read_text() == "LoadState=loaded\n"
    assert not sandbox.path("etc/systemd/system.attached").exists()
    assert sandbox.path("asked").read_text().splitlines() == ["daemon-reload"]


@every_shell
def test_what_is_below_run_is_there_again_after_a_boot(sandbox: Sandbox) -> None:
    """By the script of the NixOS module; first what was not confirmed is put back."""
    before = placed(sandbox)
    sandbox.send(SECOND)
    sandbox.does("prepare")
    sandbox.does("place")
    program_there = sandbox.path("var/deploy-flake/secrets.open/program")
    assert "at_boot()" in program_there.read_text()
    sandbox.path("var/deploy-flake/secrets.open/boot").write_text("another boot\n")
    shutil.rmtree(sandbox.path("run"))
    text = (NIX / "secrets.sh").read_text().replace("/var/lib/deploy-flake", str(sandbox.path("var/deploy-flake")))
    text = text.replace("/run/*)", f"{sandbox.root}/run/*)").replace("/bin/sh ", f"{shlex.join(sandbox.shell)} ")
    for _turn in (1, 2):
        done = subprocess.run(
            [*sandbox.shell, "-s"], input=text, text=True, capture_output=True, check=True, timeout=60
        )
        assert (done.stdout, sandbox.files()) == ("", before)
    # Its owner is gone: the others are there all the same.
    sandbox.path("run/secrets/token").unlink()
    listed = sandbox.path("var/deploy-flake/secrets/list")
    (listed.parent / "content/gone").write_text("x")
    listed.write_text(f"gone\t{sandbox.path('run/secrets/gone')}\tnobody-here\t0\t400\n{listed.read_text()}")
    done = subprocess.run([*sandbox.shell, "-s"], input=text, text=True, capture_output=True, check=False, timeout=60)
    assert (done.returncode, "the secret gone could not be put" in done.stdout) == (1, True)
    # What was placed before there was a module.
    (listed.parent / "content/gone").unlink()
    done = subprocess.run([*sandbox.shell, "-s"], input=text, text=True, capture_output=True, check=True, timeout=60)
    assert f"the secret at {sandbox.path('run/secrets/gone')} was not kept for a boot" in done.stdout
    assert sandbox.path("run/secrets/token").read_text() == FIRST["token"][1]


def test_the_examples_unit_runs_what_the_module_brings() -> None:
    assert (NIX / "secrets.sh").read_bytes() == (NIX.parent / "examples/flake/secrets.sh").read_bytes()


@every_shell
def test_full_disk(sandbox: Sandbox) -> None:
    """What cannot be written is refused, and all is as before."""
    before = placed(sandbox)
    sandbox.send(SECOND)
    text = (sandbox.staged / "program").read_text()
    (sandbox.staged / "program").write_text(text.replace('cat "$source" >"$new"', 'cat "$source" >"/dev/full"'))
    failed = sandbox.does("prepare", check=False)
    assert failed.returncode == 1
    assert "space" in (sandbox.staged / "complaint").read_text()
    sandbox.does("back-files", "-")
    assert sandbox.files() == before


# The end of a deployment, with a program that only says what it is asked.
END = """
{library}
var_dir={var} dir={var} roots={var}/roots id=mine interpreter=sh mode=test
limited() {{ shift; "$@"; }}
sync() {{ :; }}
record() {{ echo line; }}
write_line() {{ :; }}
recorded_outcome() {{ echo "${{outcome-}}"; }}
open_field() {{ :; }}
drop_marks() {{ :; }}
state() {{ echo "state $1"; }}
note() {{ echo "note $1"; }}
"""


@every_shell
@pytest.mark.parametrize(
    ("whose", "outcome", "asked"),
    [
        ("mine", "committed", ["note secrets of deployment mine: keep", "state committed"]),
        ("mine", "superseded", ["note secrets of deployment mine: keep", "state superseded"]),
        ("mine", "commit-failed", ["note secrets of deployment mine: keep", "state commit-failed"]),
        ("mine", "refused", ["note secrets of deployment mine: back", "state refused"]),
        ("mine", "rolled-back", ["note secrets of deployment mine: back", "state rolled-back"]),
        ("mine", "interrupted", ["note secrets of deployment mine: back", "state interrupted"]),
        # Whoever left it open has a repair of its own.
        ("another", "committed", ["state committed"]),
        ("another", "refused", ["state refused"]),
        ("", "committed", ["state committed"]),
        # The undo has asked, and its outcome says what came of it.
        ("mine", "rolled-back secrets_left=no", ["state rolled-back"]),
        ("mine", "rollback-failed secrets_left=yes", ["state rollback-failed"]),
    ],
)
def test_end_of_a_deployment(shell: list[str], tmp_path: Path, whose: str, outcome: str, asked: list[str]) -> None:
    if whose:
        there = tmp_path / "secrets.open"
        there.mkdir()
        (there / "id").write_text(f"{whose}\n")
        (there / "program").write_text('echo "$1"\n')
    script = END.format(library=join("lib/record"), var=tmp_path)
    outcome, _blank, left = outcome.partition(" ")
    done = subprocess.run(
        [*shell, "-s"],
        input=f"{script}{left}\nfinish {outcome}\n",
        text=True,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == asked


@every_shell
def test_secrets_that_could_not_be_put_back_are_told(shell: list[str], tmp_path: Path) -> None:
    there = tmp_path / "secrets.open"
    there.mkdir()
    (there / "id").write_text("mine\n")
    (there / "program").write_text("exit 1\n")
    script = END.format(library=join("lib/record"), var=tmp_path)
    done = subprocess.run(
        [*shell, "-s"], input=f"{script}finish rolled-back\n", text=True, capture_output=True, check=True, timeout=60
    )
    said, state = done.stdout.splitlines()
    assert said == "note secrets of deployment mine: they could not be put back or kept in time (back)"
    assert state == "state rolled-back"
