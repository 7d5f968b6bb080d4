#!/usr/bin/python
# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documentation of a module whose work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: profile_deploy
short_description: Deploy profiles that are no NixOS system, as of system-manager or home-manager
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Builds a generation of each profile on the host. Then one profile after the other is activated under a supervisor,
    confirmed over a fresh connection, and only then moved to its new generation. Otherwise the host activates the
    generation that the profile names again, by itself, also after a power loss.
  - For hosts that are no NixOS, such as Debian with system-manager, and for profiles beside a NixOS system, such as a
    user's home-manager. The host needs systemd and Nix, and no Python.
  - A NixOS system has M(deploy_flake.nixos.flake_deploy), which knows its boot loader. nix-darwin is not supported,
    since macOS has no systemd, under which all of this runs.
  - After one that fails the later ones are not begun, and those before it stay. The error says of each where it stands.
options:
  profiles:
    description:
      - The profiles of the host, in the order in which they are deployed. All are built before the first is activated.
      - With none nothing is done, and a warning says so.
    type: list
    elements: dict
    required: true
    suboptions:
      kind:
        description:
          - What the profile is. It says how a generation is activated, and which output of the flake and which profile
            are meant where nothing else is said.
          - V(system-manager), C(systemConfigs.<host>), activated as root by its C(bin/activate). What its engine logs
            as an error counts as a failure, since it exits with 0.
          - V(home-manager), C(homeConfigurations."<user>@<host>".activationPackage), activated as the user by its
            C(activate), which must know C(--driver-version), as home-manager has it since July 2025.
          - V(profile), any other, activated as the user by the program in it that C(activate) names. C(profile), and
            C(attribute) or C(toplevel), are needed.
        type: str
        choices: [system-manager, home-manager, profile]
        required: true
      user:
        description:
          - Whose profile it is. It is moved and activated as this user, with an environment of its own.
          - Needed for V(home-manager); C(root) for the others if not given, and always for V(system-manager).
        type: str
      configuration:
        description:
          - The name in C(systemConfigs) or C(homeConfigurations). The host's, or C(<user>@<host>), if not given, where
            the host's is what O(configuration) says.
        type: str
      attribute:
        description:
          - What is built of the flake in place of that, as C(attribute) of M(deploy_flake.nixos.flake_build) takes it.
        type: str
      toplevel:
        description:
          - The store path of a generation that was built already, in place of a flake, as
            C(toplevel) of M(deploy_flake.nixos.flake_build) takes it.
        type: str
      profile:
        description:
          - The link of the profile on the host. One that begins with C(~/) is below the user's home.
          - If not given C(/nix/var/nix/profiles/system-manager-profiles/system-manager), or
            C(~/.local/state/nix/profiles/home-manager). The system profile of NixOS is refused.
        type: str
      activate:
        description:
          - The program that activates a generation of the kind V(profile), by its path in it.
          - If not given, the first that it has of C(deploy-rs-activate), C(bin/activate) and C(activate). It gets its
            own generation in E(PROFILE), as that of deploy-rs expects it.
          - It has to bring the host from any generation to its own, also from one that was activated half.
        type: str
      first:
        description:
          - Whether a profile that has no generation yet may get one that nothing takes away again. What has a program
            C(bin/deactivate), as that of system-manager, may in any case.
          - Where such a first one fails, what it has activated stays, and the deployment ends C(rollback-failed).
        type: bool
        default: false
      expected_generation:
        description:
          - The store path of the generation that the profile has to name before. Any other one refuses the deployment,
            since somebody else has deployed meanwhile.
        type: str
  flake:
    description:
      - The flake, as M(deploy_flake.nixos.flake_copy) takes it; a local one is copied first.
      - Needed, unless each of O(profiles) has its C(toplevel).
    type: str
  configuration:
    description: The host's name in the flake. Its C(inventory_hostname) if not given.
    type: str
  attribute:
    description: Not for profiles, of which each has its own; given, it is an error.
    type: str
  build_timeout:
    description: How many seconds the build of one, or fetching its C(toplevel), may take on the host. It is ended after
      that, and the task fails.
    type: int
    default: 7200
  allow:
    description:
      - What to allow that is refused otherwise, before anything is changed.
      - V(no_ssh), V(unproven_way_in), V(secrets_in_flake) and V(little_space) as for a system; see
        O(deploy_flake.nixos.flake_deploy#module:allow).
    type: list
    elements: str
    choices: [no_ssh, unproven_way_in, secrets_in_flake, little_space]
    default: []
  pre_activate_script:
    description:
      - A file of the new generation that is run before anything is activated, if it exists; as its user, in the
        environment that an activation has.
      - A status other than 0 refuses the new generation. It has O(limits.check) seconds. Empty for none.
    type: str
    default: pre-activate-safety-checks
  post_activate_script:
    description:
      - A file of the new generation that is run after it was activated and units have settled, before it is confirmed,
        if it exists; as O(pre_activate_script) is.
      - A status other than 0 rolls back, and so does one that does not end in time. What it has done itself stays.
        Empty for none.
    type: str
    default: ""
extends_documentation_fragment:
  - deploy_flake.nixos.build
  - deploy_flake.nixos.closure
  - deploy_flake.nixos.copy
  - deploy_flake.nixos.supervised
  - deploy_flake.nixos.free_space
  - deploy_flake.nixos.limits
  - deploy_flake.nixos.addresses
  - deploy_flake.nixos.absent
  - deploy_flake.nixos.host
attributes:
  check_mode:
    description: The generations are built, unless O(check_builds=false), and the host looks whether each would be
      refused. Nothing is activated.
    support: full
  diff_mode:
    description: Has nothing to show.
    support: none
seealso:
  - module: deploy_flake.nixos.flake_deploy
"""

EXAMPLES = r"""
- name: Deploy system-manager's configuration to hosts with Debian, and then the homes of two users
  deploy_flake.nixos.profile_deploy:
    flake: .
    profiles:
      - kind: system-manager
      - {kind: home-manager, user: alice}
      - {kind: home-manager, user: bob}
  become: true

- name: Deploy a profile made for deploy-rs
  deploy_flake.nixos.profile_deploy:
    flake: .
    profiles:
      - kind: profile
        user: web
        profile: /nix/var/nix/profiles/per-user/web/site
        attribute: deploy.nodes.web1.profiles.site.path
  become: true
"""

RETURN = r"""
state:
  description:
    - Where it stands. V(committed) where one of the profiles was, V(unchanged) where all were as they should be, or in
      check mode V(would-test).
    - One that ended otherwise fails the task; then this is its C(refused), C(rolled-back), C(superseded),
      C(interrupted), C(rollback-failed) or C(commit-failed), or C(unknown) where the host was lost and may have begun.
  type: str
  returned: always, unless one has failed before it was begun
deployment:
  description: The name of the last deployment, as in C(deployments.jsonl) of the profile's directory on the host; empty
    if there was nothing to do.
  type: str
  returned: always, once one has begun
decides_by:
  description: Of a host that was lost, when it will have decided by itself at the latest, ISO 8601 in UTC.
  type: str
  returned: when the host was lost and may have begun
reason:
  description: One word for why the task failed, as of M(deploy_flake.nixos.flake_deploy).
  type: str
  returned: failure
# From tests/tools/return_values.yml, by `python3 -m tools generate`: RETURN
profiles:
  description: The profiles of the host that are no NixOS system, in their order, and where each stands.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: What messages call it, such as V(home-manager of alice).
      type: str
    kind:
      description: Its kind, V(system-manager), V(home-manager) or V(profile).
      type: str
    user:
      description: Its owner.
      type: str
    profile:
      description: Its link, as it was asked for.
      type: str
    state:
      description:
        - Where it stands, V(committed), V(unchanged), in check mode V(would-test), or how its deployment ended
          otherwise.
        - V(not-begun) where nothing was activated, since it, or one before it, has failed before that.
      type: str
    build:
      description: What M(deploy_flake.nixos.flake_build) returns; once it was built.
      type: dict
    toplevel:
      description: The generation that was to be tried; once that was begun.
      type: str
    deployment:
      description:
        - The name of the deployment, as in C(deployments.jsonl) of the profile's directory on the host; once it has
          begun, and empty if there was nothing to do.
      type: str
    previous_generation:
      description: The store path that the profile named before; empty where there was none.
      type: str
    active_generation:
      description: The store path that the profile names now; when the deployment has ended.
      type: str
    live:
      description:
        - The store path that was activated last; it differs from what the profile names only where the way back has
          failed.
      type: str
    generation:
      description: The number of the profile's generation.
      type: int
    failed_units:
      description: Units of the host that have failed.
      type: list
      elements: str
    notes:
      description: What else is worth knowing, in sentences.
      type: list
      elements: str
    reason:
      description: One word for why it failed.
      type: str
# Until here.
"""
