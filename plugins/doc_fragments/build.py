# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of a build, for the modules that build."""

from __future__ import annotations

NO_LOG = ("nix_config",)
"""What no log may have; documentation has no field for that."""


class ModuleDocFragment:
    """`extends_documentation_fragment: deploy_flake.nixos.build`."""

    DOCUMENTATION = r"""
options:
  configuration:
    description:
      - The name in C(nixosConfigurations); not used with O(attribute), nor for a system that is built already, and an
        error with O(file). The host's C(inventory_hostname) if not given.
        With C(delegate_to) that is the host which the task is for, and not the one that builds.
      - A name that the flake does not have is an error, which lists those that it has.
    type: str
  attribute:
    description:
      - What to build in place of the system of a configuration, as an attribute path on C(nix build)'s command line.
        Any output of the flake, such as V(packages.x86_64-linux.hello),
        V(nixosConfigurations.web1.config.system.build.vm) or an image; a package of the platform of the host that
        builds by its name alone. Names with other characters than letters, digits and C(_'+-) are quoted.
      - With O(file) what it evaluates to has this attribute.
      - What is deployed has to be a NixOS system. What is none fails after the build, before anything of the host's
        system is changed.
    type: str
  file:
    description:
      - A file to build in place of a flake, as V(default.nix), by its path below the directory that O(flake) names.
        That is copied as a flake is (in a git work tree what git tracks), needs no C(flake.nix), and has to be on the
        controller.
      - Built is O(attribute); if not given C(config.system.build.toplevel), as C(nixos-rebuild --file) does where the
        file evaluates to a NixOS system. A function is called with its default arguments.
      - It is evaluated as C(nix build --file) does, so it may read the host's environment. There is no lock file. What
        it fetches, the host fetches, and O(copy_inputs) does nothing. C(<nixpkgs>) is that of the host that builds;
        name another with C(-I) in O(build_args), or better pin it in the file.
      - A file that is not there, or that git does not track, is an error and leaves the host untouched.
    type: str
  build_on:
    description:
      - The hosts of the inventory that build in the place of this one; V(localhost) for a controller that has Nix and
        systemd. The flake is copied to them, and what was built goes to this host as
        M(deploy_flake.nixos.closure_copy) does it, which needs no more than free space for it.
      - Of several each builds its share of the configurations.
      - C(become), the user and the rest of the connection are those of each host. What limits a build holds on the host
        that builds, O(min_free_space) among it.
      - Nobody asks this host whether it trusts them, unless O(check_signatures) does. Whoever is root on them can give
        it any content, and reads what O(nix_config) says.
      - One that cannot be had is asked again by another host of the same task after 300 seconds at the earliest; until
        then all that it is to build for fail at once.
      - With a store path in place of a flake nothing is built. What this host does not have and cannot fetch comes from
        the first of them that has it.
      - What is built without being deployed, with O(attribute) in M(deploy_flake.nixos.flake_build), stays where it was
        built.
    type: list
    elements: str
    default: []
  build_together:
    description:
      - Whether a host of O(build_on) builds the systems of all hosts of the play that are its share at once, when the
        first of them needs its own. Each is the configuration in the host's variable C(deploy_flake_configuration), or
        of the host's name. Hosts that have failed in the play are left out, those of later batches (C(serial)) are not.
      - Ten configurations are evaluated at a time, which takes some half a GiB of memory for each.
      - One that cannot be evaluated is left to its own host, and where one cannot be built, each is built by itself, so
        that its error is its own host's alone.
      - V(false) has each evaluated and built by itself, when its host's turn comes.
      - Does nothing without O(build_on), and with O(attribute) and O(file).
    type: bool
    default: false
  build_args:
    description:
      - Further arguments for C(nix build), each an item of its own. Every user of the host can read them.
      - The lock file of the flake has to name every input, as C(flake.nix) has it now; otherwise nothing is built, and
        the error names the inputs. C(nix flake lock) mends that. With C(--override-input), C(--recreate-lock-file) or
        C(--no-write-lock-file) here, each host resolves by itself what is missing, perhaps to different things.
      - No snapshot in a host's store is ever written to.
    type: list
    elements: str
    default: []
  nix_config:
    description:
      - Lines in the form of C(nix.conf) for this build alone, such as C(access-tokens) to fetch private inputs, or
        C(substituters) with C(trusted-public-keys). The latter two need a login user among the host's C(trusted-users)
        unless a store path is given in place of a flake.
      - They go to the host on standard input and to Nix as a credential of the unit, so they appear in no log,
        process list or unit property. With O(build_on) that is the host that builds.
    type: str
    default: ""
  on_older:
    description:
      - What to do where the host would go backwards, to a revision of the flake that is an ancestor of the one that the
        host last committed, that has diverged from it, or whose repository does not have that one, as a stale checkout.
      - V(warn) says so. V(refuse) fails after the build, before anything of the host's system is changed. V(allow) does
        not look.
      - For a flake in a git repository. Of a tree with changes the commit counts that is checked out. Of a remote flake
        the controller's git has the commits where it has fetched the flake. Where Nix has, V(refuse) has git fetch them
        once a run if the host last committed another revision, and fails where it cannot or where the flake has no
        revision; V(warn) says nothing then.
        What the host last committed is what its boot default was made from, as the record of its deployment or the
        system itself says. In a shallow clone git cannot always tell; then V(refuse) fails, and V(warn) says nothing.
    type: str
    choices: [warn, refuse, allow]
    default: warn
  check_builds:
    description:
      - Whether to build in check mode as well. V(false) only evaluates the configuration on the host, which takes less
        time and space; then it is known which system it would be, and not what it would do.
      - Nothing is kept from garbage collection then. C(nix eval) has to understand O(build_args) too.
      - Does nothing without check mode.
    type: bool
    default: true
"""
