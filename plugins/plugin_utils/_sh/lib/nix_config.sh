# The operator's nix.conf for one unit.
# inputs: nix_config
# shellcheck shell=sh

# lend_nix_config DIRECTORY UNIT: $nix_config, which may hold secrets, as a credential of the unit; nothing but its path is in
# the unit or the environment. Nix reads the user's own configuration as well.
lend_nix_config() {
    local home
    credential=
    [ -n "$nix_config" ] || return 0
    printf '%s\n' "$nix_config" >"$1/nix.conf"
    credential=nix.conf:$1/nix.conf
    home=$(timeout -k 5 20 getent passwd "$login_user" | cut -d: -f6)
    config_files=/run/credentials/$2/nix.conf:$home/.config/nix/nix.conf
}
