# Whether this is a NixOS host at all.
# needs: base
# shellcheck shell=sh

# require_nixos: what is asked of another machine has no answer, and no empty one.
require_nixos() {
    command -v nix-store >/dev/null || refuse no-nix "has no nix-store in $PATH (is it a NixOS host?)"
    [ -e /run/current-system ] || refuse no-nixos "has Nix and no /run/current-system (is it a NixOS host?)"
}
