#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: flake_copy
short_description: Put a snapshot of a flake into the host's store
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Copies what Nix would see of a flake on the controller to the store of the host, as a content-addressed path.
  - Nothing is sent when the host has it already. The controller needs no Nix.
  - In a git work tree these are the tracked files with the content that they have on disk; otherwise the whole
    directory.
  - Submodules are copied where the flake asks for them, with C(inputs.self.submodules = true) in C(flake.nix) (which
    needs Nix 2.27 on the hosts) or C(?submodules=1) in the reference, and are checked out; those that are left out are
    named in a warning. Git LFS likewise, with C(inputs.self.lfs) or C(?lfs=1). Of a work tree the content on disk is
    taken, of a commit what git-lfs has fetched; where only a pointer is there, the flake is refused.
  - In a copy C(self.rev), C(self.revCount) and C(self.lastModified) are as in the original. C(self.dirtyRev) and
    C(self.dirtyShortRev) are not set, since Nix has no reference to a copy that would have them; write
    C(self.rev or self.dirtyRev or null). RV(dirty_revision) and the record on the host have it.
  - All hosts of the task get the same snapshot, those of later batches (C(serial)) included. It is taken when the first
    of them needs it; later changes to the files do not matter.
  - Inputs of the lock file that lie on the controller (types C(path) and C(git) with a C(file) URL) are sent along, and
    others as O(copy_inputs) says.
  - A remote reference such as V(github:owner/repository) is resolved once for all hosts of the run, freshly, whatever
    Nix has cached; whatever becomes of it meanwhile, every host gets that version. The controller does it where it has
    Nix, or for V(git+ssh:), V(git+https:) and the like with its git, with the operator's own access. Else the first
    host does, as the login user. The source is read from there, its hash is checked, and it is sent to each host that
    lacks it.
  - The snapshot is kept from garbage collection until the deployment has ended.
  - B(Every user of the host can read all of it.) It goes to the store of the host whole, in check mode as well, and
    stays there until garbage is collected; evaluation may copy parts of it into the system too. Keep secrets out of it,
    or encrypted.
  - A directory without git is refused where it holds what looks like a secret. That is a private key (OpenSSH, PEM,
    PGP, age, PuTTY, WireGuard, Nix, git-crypt), a vault password, a file of passwords or keys that this run of Ansible
    itself uses, logins to other machines, or a file that C(.gitattributes) has an encrypting filter for (git-crypt,
    transcrypt, git-agecrypt) and that is decrypted. In a git repository these are only warned of, and only where git
    tracks them. The look is at names and at how files begin, so what is not found may be secret all the same.
options:
  flake:
    description:
      - The flake, as on Nix's command line; a directory (V(.)), V(path:…), V(git+file:…), or a remote reference.
      - A relative directory is taken from where C(ansible-playbook) was started.
      - A password or token in a URL is left out of what is said and of the record on the host, and git gets it through
        its environment. Nix does not, so keep it out of the URL where only Nix can fetch the flake, as a tarball.
      - A flake that is not there, or that git does not track, is an error and leaves the host untouched.
    type: str
    required: true
  allow:
    description:
      - What to allow that is refused otherwise.
      - V(secrets_in_flake), files that look like secrets in a directory without git, which goes to the host whole. Of
        a flake that git tracks it leaves out the warning.
    type: list
    elements: str
    choices: [secrets_in_flake]
    default: []
extends_documentation_fragment:
  - deploy_flake.nixos.copy
  - deploy_flake.nixos.host
attributes:
  check_mode:
    description: In check mode the snapshot is copied all the same. The store is not the system.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: deploy_flake.nixos.flake_build
"""

EXAMPLES = r"""
- name: Copy the flake in the current directory
  deploy_flake.nixos.flake_copy:
    flake: .
  become: true
  register: flake
"""

RETURN = r"""
# From tests/tools/return_values.yml, by `python3 -m tools generate`: RETURN
reference:
  description: The locked flake reference to build from on the host.
  type: str
  returned: success
  sample: path:/nix/store/0cdv5i6zbdcxhqp3g9nrwvn9hqx1h7kp-source?narHash=sha256-…&lastModified=1767225600
flake:
  description: The flake reference that was given.
  type: str
  returned: success
bytes_sent:
  description: How many bytes of snapshots were sent to the host; 0 if it had them.
  type: int
  returned: success
locked:
  description: The URL of a remote flake, locked; empty for a local one.
  type: str
  returned: success
  sample: github:me/hosts/8f1c…?narHash=sha256-…
store_path:
  description: Where the snapshot is on the host.
  type: str
  returned: success
nar_hash:
  description: The snapshot's hash, as in a lock file.
  type: str
  returned: success
nar_size:
  description: The snapshot's size in bytes.
  type: int
  returned: success
revision:
  description: The git commit; V(none) for a dirty tree or without git, such as a tarball.
  type: str
  returned: success
dirty:
  description: Whether tracked files differ from the commit.
  type: bool
  returned: success
dirty_revision:
  description: The commit that is checked out, with C(-dirty) behind it, where tracked files differ from it; as Nix's
    C(self.dirtyRev). V(none) otherwise.
  type: str
  returned: success
last_modified:
  description: Seconds since 1970, of the commit or the youngest file; 0 where a remote flake has none.
  type: int
  returned: success
# Until here.
"""
