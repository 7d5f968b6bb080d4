# Whether who deploys is this very machine, whatever name it is reached by: from there everything comes in, also where nobody else can.
# from: the controller's boot id and network namespace; nothing where that does not matter.
# inputs: from
# needs: base
# shellcheck shell=sh

# is_controller: a container has the boot id of its machine, and a network of its own.
is_controller() {
    local here
    [ -n "$from" ] || return 1
    read -r here </proc/sys/kernel/random/boot_id
    [ "$from" = "$here $(readlink /proc/self/ns/net)" ]
}

# shellcheck disable=SC2034 # whoever refuses says it
from_itself="is the machine that it is deployed from: a system that is tried becomes the boot default when it is confirmed from outside, and \
from here it could be confirmed although nobody else can come in. Deploy from another machine, or allow 'unproven_way_in' (deploy_flake_allow, --allow) where somebody can always get at the host"
