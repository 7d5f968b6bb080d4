# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What looks like a secret in a flake, and what only looks a little like one."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.nar import directory_tree
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.secret_files import (
    ANSIBLE_SECRET,
    DECRYPTED,
    LOGINS,
    PRIVATE_KEY,
    VAULT_PASSWORD,
)
from ansible_collections.deploy_flake.nixos.plugins.plugin_utils._flake.snapshot import take_snapshot

BODY = base64.b64encode(b"not a key, but as long as one would be at least").decode()
# In parts, so that this file does not look like a key to others.
BEGIN, END = "-----BEGIN {}PRIVATE " + "KEY-----\n", "\n-----END {}PRIVATE " + "KEY-----\n"
BYTES_32 = base64.b64encode(bytes(32)).decode()
BYTES_64 = base64.b64encode(bytes(64)).decode()


def pem(kind: str = "") -> str:
    return BEGIN.format(kind) + BODY + END.format(kind)


def found(root: Path, files: dict[str, str | bytes], known: list[Path] | None = None) -> dict[str, str]:
    """What looks like a secret among these files."""
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with take_snapshot(directory_tree(root), root, known_secrets=known or []) as snapshot:
        return {one.path: one.what for one in snapshot.secrets}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("x", pem(kind)) for kind in ("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ")),
        ("windows.pem", pem().replace("\n", "\r\n")),
        ("cert-and-key.pem", f"-----BEGIN CERTIFICATE-----\n{BODY}\n-----END CERTIFICATE-----\n{pem()}"),
        ("old.pem", BEGIN.format("RSA ") + "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n" + BODY),
        ("indented.yml", f"key: |\n  {BEGIN.format('')}  {BODY}\n"),
        ("account.json", '{"private_key": "' + pem().replace("\n", "\\n") + '"}'),
        ("host.nix", '{ text = "' + pem().replace("\n", "\\n") + '"; }'),
        ("key.asc", "-----BEGIN PGP PRIVATE KEY" + f" BLOCK-----\n\n{BODY}\n"),
        ("x.ppk", "PuTTY-User-Key-File-3: ssh-ed25519\n"),
        ("keys.txt", "# created: 2026-01-01\n# public key: age1x\nAGE-SECRET-KEY-1" + "Q" * 58 + "\n"),
        ("hs_ed25519_secret_key", b"== ed25519v1-secret: type0 ==\0\0\0" + bytes(64)),
        (".git/git-crypt/keys/default", b"\0GITCRYPTKEY\0\0\0\2"),
        ("cache.sec", f"cache.example.org-1:{BYTES_64}\n"),
        ("wg0.key", f"{BYTES_32}\n"),
        ("wireguard/privatekey", BYTES_32),
        ("wg0.conf", f"[Interface]\nPrivateKey = {BYTES_32}\n"),
        ("wg.nix", f'  privateKey = "{BYTES_32}";\n'),
        ("client.p12", b"0\x82"),
    ],
)
def test_private_keys(tmp_path: Path, name: str, content: str | bytes) -> None:
    assert found(tmp_path, {name: content, "flake.nix": "{ }"}) == {name: PRIVATE_KEY}


@pytest.mark.parametrize(
    "name",
    [".vault_pass", ".vault_pass.txt", "vault-password", "vault_password_file", ".ansible-vault-pass", "vaultpass",
     "group_vars/.vault-key", "prod.vault_pw", "Vault_Password.txt", ".vault-token"],
)  # fmt: skip
def test_vault_passwords(tmp_path: Path, name: str) -> None:
    assert found(tmp_path, {name: "correct horse\n\n"}) == {name: VAULT_PASSWORD}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.md", "Put it between -----BEGIN PRIVATE " + "KEY----- and its end"),
        ("public.pem", f"-----BEGIN PUBLIC KEY-----\n{BODY}\n"),
        ("public.asc", f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{BODY}\n"),
        ("recipients.txt", "age1" + "q" * 58),
        ("cache.pub", f"cache.example.org-1:{BYTES_32}\n"),
        ("wg0.pub", f"{BYTES_32}\n"),
        ("public-wg.key", f"{BYTES_32}\n"),
        ("hash", f"{BYTES_32}\n"),
        ("peer.conf", f"PublicKey = {BYTES_32}\n"),
        ("wg.nix", 'privateKeyFile = "/run/secrets/wg";'),
        ("vault.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
        (".vault_pass", "$ANSIBLE_VAULT;1.1;AES256\n6162\n"),
        (".vault_pass.gpg", b"\x85\x02"),
        ("vault_pass.age", "age-encryption.org/v1\n"),
        ("vault-pass.sh", "pass show vault"),
        (".vault_pass", ""),
        (".vault_pass", "#!/bin/sh\npass show vault\n"),
        ("vault-passwords", "a directory of\nmany lines\n"),
        ("hosts/vault.nix", "{ }"),
        ("default-vault-policy", "read"),
        (".netrc", "# machine of somebody, without password\n"),
        ("netrc", "machine example.org\n"),
        (".git/config", '[remote "origin"]\n\turl = https://github.com/me/hosts\n'),
        ("module/config", "url = https://me:password@example.org/\n"),
    ],
)
def test_what_is_none(tmp_path: Path, name: str, content: str | bytes) -> None:
    assert found(tmp_path, {name: content}) == {}


def test_a_program_that_asks_for_the_vault_password(tmp_path: Path) -> None:
    (tmp_path / ".vault_pass").write_text("exec pass show vault\n")
    (tmp_path / ".vault_pass").chmod(0o755)
    assert found(tmp_path, {}, [tmp_path / ".vault_pass"]) == {}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".netrc", "machine example.org login me password secret\n"),
        ("netrc", "machine example.org\n  login me\nmachine a.example.org login me password b\n"),
        (".git-credentials", "https://me:secret@example.org\n"),
        (".git/config", '[remote "origin"]\n\turl = https://me:secret@example.org/x\n'),
    ],
)
def test_logins(tmp_path: Path, name: str, content: str) -> None:
    assert found(tmp_path, {name: content}) == {name: LOGINS}


def test_files_that_ansible_itself_uses(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"flake.nix": "{ }", "deep/word": "any two words\n", "other": "x"}
    known = [tmp_path / "deep/word", tmp_path / "link", tmp_path.parent / "elsewhere"]
    (tmp_path / "link").symlink_to("other")
    assert found(tmp_path, files, known) == {"deep/word": ANSIBLE_SECRET, "other": ANSIBLE_SECRET}
    # What is encrypted itself may be read.
    assert found(tmp_path, {"deep/word": "$ANSIBLE_VAULT;1.1;AES256\n61\n", "other": ""}, known) == {}


def test_files_that_git_would_have_encrypted(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        ".gitattributes": "secrets/** filter=git-crypt diff=git-crypt\n*.agecrypt filter=git-agecrypt\n"
        "*.bin filter=lfs\nother/* filter=crypt\nsops.* filter=sops\n",
        "secrets/.gitattributes": "* !filter\n*.nix filter=git-crypt-team\n",
        "secrets/plain.nix": '{ password = "x"; }',
        "secrets/locked.nix": b"\0GITCRYPT\0\1\2",
        "secrets/empty.nix": "",
        "secrets/readme": "not encrypted",
        "a.agecrypt": "word",
        "b.agecrypt": "age-encryption.org/v1\n",
        "large.bin": "large",
        "other/open": "word",
        "other/locked": "U2FsdGVkX1+abc",
        "sops.yml": "password: ENC[AES256_GCM,data:x]\n",
        "sops.txt": "password\n",
    }
    decrypted = {"secrets/plain.nix", "a.agecrypt", "other/open", "sops.txt"}
    assert found(tmp_path, files) == dict.fromkeys(decrypted, DECRYPTED)
