# Copyright (c) 2026, the deploy_flake.nixos authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The hosts that a flake names. See the documentation below, and docs/inventory.md."""

from __future__ import annotations

DOCUMENTATION = r"""
name: flake
short_description: The hosts that a flake names, as an inventory
version_added: 0.1.0
author: The deploy_flake.nixos authors (@deploy-flake)
description:
  - Makes hosts of what a flake says of them, in C(nixosConfigurations), in C(deploy.nodes) of deploy-rs and in
    C(colmenaHive) of colmena. Nothing is built.
  - The flake is evaluated by the controller's Nix; where there is none by the host that O(evaluate_on) names. O(file)
    says the same without an evaluation.
  - Each host has the variable C(deploy_flake_flake), so that O(flake) is what is deployed to it; and C(ansible_host),
    C(ansible_user) and C(ansible_port) where the flake says them. C(flake_outputs) has the outputs that name it,
    C(flake_tags) the tags that colmena knows it by.
  - Groups are C(nixos_configurations), C(deploy_nodes) and C(colmena_hive), by what names a host, and one for each tag.
  - A node of C(colmenaHive) that is none of C(nixosConfigurations) has C(deploy_flake_attribute), which names its
    system. Where C(meta.allowApplyAll) of the hive is false each host has C(deploy_flake_allow_all=false).
  - What comes from the flake is data, and never a template. A name, an address, a user or a port that ssh or Ansible
    could take for something else leaves the host out, with a warning. So does C(localhost), and another way to reach a
    host that an inventory before this one has.
extends_documentation_fragment:
  - constructed
  - inventory_cache
options:
  plugin:
    description: What says that a file is for this plugin.
    type: str
    required: true
    choices: [deploy_flake.nixos.flake]
  flake:
    description:
      - The flake, as on Nix's command line. A relative path is one from the directory of the inventory's file.
      - V(.) if neither this nor O(file) is given.
      - A remote flake is resolved once a run, and deployed as it was then.
    type: str
  file:
    description:
      - A file that says what an evaluation would, as JSON or YAML, by its path from the directory of the inventory's
        file. With it nothing is evaluated and no host is asked.
      - docs/inventory.md of the collection says its form, and how Nix writes one.
    type: str
  evaluate_on:
    description:
      - A host that evaluates the flake where the controller has no Nix, over ssh and as root (C(become)). It gets a
        snapshot of the flake, as every host that is deployed to.
      - A host of an inventory that was read before, with its variables but for those of C(group_vars) and C(host_vars);
        or any other.
    type: str
  evaluate_on_vars:
    description:
      - Variables of that host, such as C(ansible_user), C(ansible_port) and C(ansible_become_password), which may be
        templates and encrypted. What the command line asks for (C(--ask-become-pass)) is not known yet.
    type: dict
    default: {}
  outputs:
    description:
      - What names hosts. Where several name the same one, the first of them says how to reach it, and the others what
        that does not say.
    type: list
    elements: str
    choices: [deploy, colmena, nixosConfigurations]
    default: [deploy, colmena, nixosConfigurations]
  exclude:
    description: Names that are no hosts here, as shell patterns such as V(installer-*).
    type: list
    elements: str
    default: []
  variables:
    description:
      - Variables that come from each configuration, with an attribute path in its C(config) for each, such as
        V(networking.domain). For O(compose), O(groups) and O(keyed_groups); and for C(ansible_host), C(ansible_user)
        and C(ansible_port), which hold where neither C(deploy.nodes) nor the hive says them.
      - Every configuration is evaluated for it, which takes seconds for each. A configuration that throws leaves its
        host out, with a warning; what it does not have, or is no data, leaves out the variable.
      - Other names that begin with C(ansible_) or C(deploy_flake_) are an error.
    type: dict
    default: {}
  tag_prefix:
    description: What the group of a tag begins with.
    type: str
    default: tag_
  ssh_options:
    description:
      - Whether to take over all options of ssh that the flake says (C(sshOpts), C(sshOptions)), as
        C(ansible_ssh_common_args). They can have ssh run programs on the controller (C(ProxyCommand)), so only for a
        flake that you trust as your own C(ssh_config). Without it those that say more than port and user are left out,
        with a warning.
    type: bool
    default: false
  nix_config:
    description:
      - Lines in the form of C(nix.conf) for this evaluation alone, such as C(access-tokens) to fetch private inputs.
    type: str
    default: ""
  allow:
    description:
      - What is refused otherwise. V(secrets_in_flake) copies to O(evaluate_on) a flake without git that holds what
        looks like secrets.
    type: list
    elements: str
    choices: [secrets_in_flake]
    default: []
  evaluation_timeout:
    description: How many seconds the evaluation may take, and one attempt to send or fetch the flake.
    type: int
    default: 600
  reconnect_timeout:
    description: For how many seconds to try to reconnect when O(evaluate_on) stops answering.
    type: int
    default: 60
notes:
  - With O(cache) what was evaluated is kept under the content of the flake (its C(narHash)), so a flake that has
    changed is evaluated again whatever O(cache_timeout) says.
  - Ansible goes on where an inventory fails, with a warning. C(ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=true) makes it
    an error.
"""

EXAMPLES = r"""
# hosts.yml beside flake.nix: every nixosConfiguration, every node of deploy-rs and of colmena
plugin: deploy_flake.nixos.flake

---
# The controller has no Nix
plugin: deploy_flake.nixos.flake
flake: github:me/hosts
evaluate_on: build1.example.org
evaluate_on_vars:
  ansible_user: admin

---
# Groups by what the configurations say
plugin: deploy_flake.nixos.flake
exclude: [installer-*]
variables:
  domain: networking.domain
  uses_nginx: services.nginx.enable
compose:
  ansible_host: inventory_hostname ~ '.' ~ domain
groups:
  web: uses_nginx
keyed_groups:
  - key: domain
    prefix: domain
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/deploy-flake-inventory
"""

import hashlib
import json
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.helpers import get_group_vars
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.vars import combine_vars

from ..plugin_utils._build.lock import has_nix
from ..plugin_utils._build.settings import CopySettings
from ..plugin_utils._codes import CopyInputs
from ..plugin_utils._flake.local import absolute_reference, is_remote
from ..plugin_utils._flake.reference import (
    FlakeError,
    attribute_names,
    is_attribute_path,
)
from ..plugin_utils._host.answer import HostError
from ..plugin_utils._inventory.evaluator import Evaluator
from ..plugin_utils._inventory.named_host import Quiet, named_host
from ..plugin_utils._inventory.nodes import (
    GROUPS,
    PLACE,
    Node,
    Nodes,
    Output,
    may_come_from_a_flake,
    nodes_of,
    odd_place,
)
from ..plugin_utils._printable import printable

_REACHED = (*PLACE, "ansible_ssh_common_args")
"""What says how to reach a host, of all that this plugin sets."""


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """The inventory plugin `deploy_flake.nixos.flake`."""

    NAME = "deploy_flake.nixos.flake"
    # What comes from a flake is data: Ansible trusts none of it as a template.
    trusted_by_default = False

    def verify_file(self, path: str) -> bool:
        """Whether the file may be one for this plugin."""
        is_file: bool = super().verify_file(path)  # type: ignore[no-untyped-call]
        return is_file and path.endswith((".yml", ".yaml"))

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """What Ansible calls: adds the hosts. AnsibleParserError where there are none to be had."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)  # type: ignore[no-untyped-call]
        self._hosts, self._files = inventory, loader
        here = Path(path).resolve().parent
        try:
            flake = self._flake(here)
            nodes = nodes_of(
                self._said(flake, here, path, cache),
                [Output(one) for one in self._option("outputs")],
                self._option("exclude"),
            )
        except (HostError, FlakeError, AnsibleError) as error:
            raise AnsibleParserError(f"{path}: {printable(str(error))}") from error
        for node in list(nodes.hosts.values()):
            if why := self._add(node, flake, nodes.all_are_meant):
                nodes.left_out[node.name] = why
                del nodes.hosts[node.name]
        self._remark(nodes)

    def _option(self, name: str) -> Any:
        return self.get_option(name)  # type: ignore[no-untyped-call]

    def _flake(self, here: Path) -> str:
        """The reference, with nothing in it that depends on where Ansible runs; "" for none."""
        reference = self._option("flake") or ("" if self._option("file") else ".")
        return absolute_reference(reference, here) if reference else ""

    def _said(self, flake: str, here: Path, path: str, cache: bool) -> Any:
        """What the flake says of its hosts, as `nodes.nix` has it."""
        if file := self._option("file"):
            return self._files.load_from_file(str(here / Path(file).expanduser()), cache="none")
        settings = CopySettings(
            flake=flake,
            copy_timeout=self._option("evaluation_timeout"),
            reconnect_timeout=self._option("reconnect_timeout"),
            allow=tuple(self._option("allow")),
            copy_inputs=CopyInputs.MISSING,
            nix_config=self._option("nix_config"),
        )
        keeps = self._option("cache")

        def remember(key: str) -> Any:
            return _unpacked(self._cache.get(self._key(path, key))) if keeps and cache else None

        with _shared_file(flake) as shared:
            evaluator = Evaluator(settings, self._variables(), self._option("evaluation_timeout"), shared, remember)
            name = self._option("evaluate_on")
            said = evaluator.on(self._named_host(name)) if name and not has_nix() else evaluator.here()
        if keeps:
            # As a text: Ansible's cache would make of what looks like one of its own objects what that says, such as a
            # template that it trusts.
            self._cache[self._key(path, evaluator.key)] = json.dumps(said)
        return said

    def _key(self, path: str, key: str) -> str:
        return f"{self.get_cache_key(path)}_{key[:32]}"

    def _named_host(self, name: str) -> Quiet:
        """The host that evaluates, with what is known of it so far."""
        known: Mapping[str, Any] = {}
        if found := self._hosts.get_host(name):
            known = combine_vars(get_group_vars(found.get_groups()), found.get_vars())
        return named_host(name, combine_vars(known, self._option("evaluate_on_vars")), self._files)

    def _variables(self) -> dict[str, list[str]]:
        """Of each variable where it is in a configuration; FlakeError where that cannot be meant."""
        found = {}
        for name, path in self._option("variables").items():
            if not may_come_from_a_flake(str(name)):
                raise FlakeError(f"variables: {name!r} cannot be one that comes from the flake")
            if not isinstance(path, str) or not is_attribute_path(path):
                raise FlakeError(f"variables: {path!r}, for {name}, is no attribute path such as networking.domain")
            found[str(name)] = attribute_names(path)
        return found

    def _remark(self, nodes: Nodes) -> None:
        for name, why in nodes.left_out.items():
            self.display.warning(printable(f"{name!r} is left out of the inventory: {why}"))
        for remark in nodes.remarks:
            self.display.warning(printable(remark))
        missing = [name for name in self._option("variables") if name not in PLACE]
        for node in nodes.hosts.values():
            missing = [name for name in missing if name not in node.variables]
        if missing and nodes.hosts:
            self.display.warning(f"no host has {', '.join(missing)}: see the attribute paths in 'variables'")
        dropped = [node.name for node in nodes.hosts.values() if node.ssh_options]
        if dropped and not self._option("ssh_options"):
            self.display.warning(
                f"options of ssh that the flake says of {', '.join(dropped)} are left out, since they can have ssh run"
                " programs on this machine; 'ssh_options: true' takes them over"
            )

    def _add(self, node: Node, flake: str, all_are_meant: bool) -> str:
        """Add a host; or else say why it is none here, and leave all as it was."""
        inventory, name = self._hosts, node.name
        # Ansible makes its constants as it starts.
        if name in constants.LOCALHOST:
            return "that is the controller, where Ansible runs tasks of its own"
        known = inventory.get_host(name)
        before = dict(known.vars) if known else {}
        groups = {group.name for group in known.get_groups()} if known else set()
        why = "what is made of it fails"
        try:
            self._set(node, flake, all_are_meant)
            host = inventory.get_host(name)
            changed = {one: host.vars.get(one) for one in _REACHED if host.vars.get(one) != before.get(one)}
            why = odd_place(changed)
            if known and changed:
                why = f"another inventory has it already, and this one would change its {', '.join(changed)}"
        finally:
            if why and known:
                known.vars = before
                for group in [one for one in known.get_groups() if one.name not in groups]:
                    group.remove_host(known)
            elif why:
                inventory.remove_host(inventory.get_host(name))
        return why

    def _set(self, node: Node, flake: str, all_are_meant: bool) -> None:
        inventory, name = self._hosts, node.name
        inventory.add_host(name)
        variables: dict[str, Any] = {
            "ansible_host": node.address,
            "ansible_user": node.user,
            "ansible_port": node.port,
            "ansible_ssh_common_args": shlex.join(node.ssh_options) if self._option("ssh_options") else "",
            "deploy_flake_flake": flake,
            "deploy_flake_attribute": node.attribute,
        }
        variables = {key: value for key, value in variables.items() if value not in ("", None)} | dict(node.variables)
        variables |= {"flake_outputs": [str(one) for one in node.outputs], "flake_tags": list(node.tags)}
        if not all_are_meant:
            variables["deploy_flake_allow_all"] = False
        for key, value in variables.items():
            inventory.set_variable(name, key, value)
        tags = (f"{self._option('tag_prefix')}{tag}" for tag in node.tags)
        for group in (*(GROUPS[one] for one in node.outputs), *tags):
            inventory.add_child(inventory.add_group(self._sanitize_group_name(group)), name)
        self._construct(name)

    def _construct(self, name: str) -> None:
        """What the operator makes of the variables, as with other inventory plugins."""
        strict, known = self._option("strict"), self._hosts.get_host(name).get_vars()
        # They have no types.
        constructed: Any = self
        constructed._set_composite_vars(self._option("compose"), known, name, strict=strict)
        constructed._add_host_to_composed_groups(self._option("groups"), known, name, strict=strict)
        constructed._add_host_to_keyed_groups(self._option("keyed_groups"), known, name, strict=strict)


def _unpacked(kept: Any) -> Any:
    """What the cache has kept, as the flake has said it; None for nothing that this plugin has kept."""
    try:
        return json.loads(kept) if isinstance(kept, str) else None
    except ValueError:
        return None


@contextmanager
def _shared_file(flake: str) -> Iterator[Path]:
    """Where the snapshot is kept. That of a remote flake stays until Ansible ends, so that the very same is deployed; a
    local one is read again whenever the inventory is."""
    # Ansible makes its constants as it starts.
    temporary = Path(constants.DEFAULT_LOCAL_TMP)  # type: ignore[attr-defined]
    name = f"deploy-flake-inventory-{hashlib.sha256(flake.encode(errors='surrogateescape')).hexdigest()[:32]}"
    if is_remote(flake, Path.cwd()):
        yield temporary / name
        return
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=temporary) as directory:
        yield Path(directory, name)
