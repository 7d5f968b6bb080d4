#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: flake_build
short_description: Build a NixOS system on the host
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Builds C(nixosConfigurations.<name>.config.system.build.toplevel) of a flake on the host, as the login user; or with
    O(attribute) any output of it, and with O(file) a configuration that is no flake.
  - Nix's daemon has to let that user in (C(allowed-users)). Without a home that can be written to, Nix keeps its cache
    in C(/var/cache/deploy-flake).
  - The build runs in a systemd unit, so it outlives a lost connection and a killed controller. A second run finds it
    and follows it.
  - While it runs, it reports progress. It fails with Nix's own message, the failing derivation and the end of its
    log.
  - The command itself enables flakes; the host's configuration need not.
  - With O(toplevel) nothing is built. The host has the system already, or fetches it.
  - The system is kept from garbage collection until the deployment has ended. The host's running system is not
    touched.
  - With O(flake) it first does what M(deploy_flake.nixos.flake_copy) does, in the same task.
options:
  flake:
    description:
      - The flake, as M(deploy_flake.nixos.flake_copy) takes it; a local one is copied first.
      - One of O(flake), O(reference) and O(toplevel) is needed.
    type: str
  reference:
    description: The flake reference of a snapshot that was copied before, as
      RV(deploy_flake.nixos.flake_copy#module:reference) returns it, or of a remote flake,
      which is then resolved as O(flake) is.
    type: str
  toplevel:
    description:
      - The store path of a system that was built already, in place of a flake.
      - If the host does not have it, it is fetched from the substituters that the host is configured with or that
        O(nix_config) names, or comes from a host of O(build_on). If none has it, or no substituter with a signature
        that the host trusts, the task fails.
      - That is done as root, since no flake is evaluated. So O(nix_config) may name any substituter and any key,
        whoever logs in; C(trusted-users) and C(trusted-substituters) of the host's C(nix.conf) restrict only other
        users.
      - O(build_timeout) is the limit for it.
    type: str
  out_link:
    description:
      - The path of a link on the host to what was built, such as V(/root/result); with O(attribute) and O(build_on) on
        the host that builds, unless O(needs_system). It keeps that from garbage collection
        until it is removed, and the next build with the same path replaces it. Without it what was built is kept until
        the next deployment on the host has ended.
      - Outputs other than C(out) get links of their own, with C(-) and their name behind the path, as with
        C(nix build --out-link).
      - Root makes it, and directories that are missing. Where something else is than the link of an earlier build, as a
        link of the system's own such as C(/run/current-system), that stays, and the task fails before anything is
        built.
      - So it does where a directory above it is a link, belongs to another user than root and the one who logs in, or
        can be written to by others.
      - In check mode no link is made.
    type: str
  needs_system:
    description:
      - Whether what is built has to be a NixOS system, since it is to be deployed. What is none fails with the reason
        C(not-a-system), and with O(build_on) what was built goes to this host.
      - If V(false), anything will do, and with O(build_on) it stays where it was built.
      - If not given, V(false) with O(attribute), else V(true). The role sets it where it deploys.
    type: bool
  build_timeout:
    description: How many seconds the build may take on the host. It is ended after that, and the task fails.
    type: int
    default: 7200
  allow:
    description:
      - What to allow that is refused otherwise.
      - V(secrets_in_flake), files that look like secrets in a directory without git, which goes to the host whole. See
        M(deploy_flake.nixos.flake_copy). Of a flake that git tracks it leaves out the warning.
      - V(little_space), a host that has less free space on C(/nix) than what another host has built for it has bytes.
        For file systems that compress or share what they have. See O(build_on).
    type: list
    elements: str
    choices: [secrets_in_flake, little_space]
    default: []
extends_documentation_fragment:
  - deploy_flake.nixos.build
  - deploy_flake.nixos.closure
  - deploy_flake.nixos.copy
  - deploy_flake.nixos.free_space
  - deploy_flake.nixos.host
  - deploy_flake.nixos.absent
attributes:
  check_mode:
    description: In check mode the system is built all the same, unless O(check_builds=false). The store is not the
      system.
    support: full
  diff_mode:
    description: Has nothing to show. M(deploy_flake.nixos.system_test) has.
    support: none
seealso:
  - module: deploy_flake.nixos.flake_copy
  - module: deploy_flake.nixos.system_test
"""

EXAMPLES = r"""
- name: Build the system of this host
  deploy_flake.nixos.flake_build:
    flake: .
  become: true
  register: build

- name: Build a virtual machine to try the configuration in, and keep it
  deploy_flake.nixos.flake_build:
    flake: .
    attribute: nixosConfigurations.{{ inventory_hostname }}.config.system.build.vm
    out_link: /var/lib/try/vm
  become: true

- name: Build a system that is no flake's
  deploy_flake.nixos.flake_build:
    flake: ./hosts
    file: default.nix
    attribute: "{{ inventory_hostname }}.config.system.build.toplevel"
  become: true
  register: build

- name: Fetch a system that was built elsewhere
  deploy_flake.nixos.flake_build:
    toplevel: "{{ system_of_this_host }}"
    nix_config: |
      extra-substituters = https://cache.example.org
      extra-trusted-public-keys = cache.example.org-1:nFwXrFGM2Xfq2hXnTdZRuMTNjFrEPSYbnzUlgS1aSS8=
  become: true
  register: build
"""

RETURN = r"""
derivation:
  description: The store path of the derivation that it was built from, or would be, where the host knows it.
  type: str
  returned: success
out_link:
  description: The path of the link that was made.
  type: str
  returned: with O(out_link), unless in check mode
built:
  description: How many derivations were built.
  type: int
  returned: success
copied:
  description: How many store paths were copied or downloaded.
  type: int
  returned: success
downloaded_bytes:
  description: How many bytes were downloaded.
  type: int
  returned: success
attached:
  description: Whether the build was already running, and was followed to its end.
  type: bool
  returned: success
built_on:
  description: The host that has built it in the place of this one.
  type: str
  returned: with O(build_on)
# From tests/tools/return_values.yml, by `python3 -m tools generate`: RETURN
toplevel:
  description: The store path of the system, or of what else was named.
  type: str
  returned: success
outputs:
  description: The store paths of what was built, by the names of its outputs, V(out) first; empty where it was
    evaluated and not built.
  type: dict
  returned: success
  sample: {out: /nix/store/71kdrkhl4szyl7y1fa8nmdhl03r1rjvm-nixos-system-web1-25.11}
configuration:
  description: The name in C(nixosConfigurations); empty for a system that was built already, and where an attribute or
    a file was named.
  type: str
  returned: success
valid:
  description: Whether the system is in the host's store; V(false) only where it was evaluated and not built.
  type: bool
  returned: success
reason:
  description: One word for why the task failed, such as C(build-failed), C(too-slow), C(not-a-system), C(not-linked),
    C(no-space), C(input-not-fetched), C(not-signed) or C(lost).
  type: str
  returned: failure
reference:
  description: The locked flake reference to build from on the host that builds.
  type: str
  returned: with O(flake)
  sample: path:/nix/store/0cdv5i6zbdcxhqp3g9nrwvn9hqx1h7kp-source?narHash=sha256-…&lastModified=1767225600
flake:
  description: The flake reference that was given.
  type: str
  returned: with O(flake)
absent:
  description: V(true). Nobody has answered there, and nothing was done. Also returned where that makes the host
    unreachable.
  type: bool
  returned: when the host did not answer at the beginning
bytes_sent:
  description: How many bytes of snapshots were sent to the host that builds; with O(build_on) also those that were sent
    of what it has built, packed as they were.
  type: int
  returned: with O(flake)
locked:
  description: The URL of a remote flake, locked; empty for a local one.
  type: str
  returned: with O(flake)
  sample: github:me/hosts/8f1c…?narHash=sha256-…
store_path:
  description: Where the snapshot is on the host that builds.
  type: str
  returned: with O(flake)
nar_hash:
  description: The snapshot's hash, as in a lock file.
  type: str
  returned: with O(flake)
nar_size:
  description: The snapshot's size in bytes.
  type: int
  returned: with O(flake)
revision:
  description: The git commit; V(none) for a dirty tree or without git, such as a tarball.
  type: str
  returned: with O(flake)
dirty:
  description: Whether tracked files differ from the commit.
  type: bool
  returned: with O(flake)
dirty_revision:
  description: The commit that is checked out, with C(-dirty) behind it, where tracked files differ from it; as Nix's
    C(self.dirtyRev). V(none) otherwise.
  type: str
  returned: with O(flake)
last_modified:
  description: Seconds since 1970, of the commit or the youngest file; 0 where a remote flake has none.
  type: int
  returned: with O(flake)
# Until here.
"""
