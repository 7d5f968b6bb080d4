# Whether this is a NixOS host at all.
# needs: base
# shellcheck shell=sh

# require_nixos: what is asked of another machine has no answer, and no empty one.
require_nixos() {
    command -v nix-store >/dev/null || refuse no-nix "has no nix-store in $PATH (is it a NixOS host?)"
    [ -e /run/current-system ] || refuse no-nixos "has Nix and no /run/current-system (is it a NixOS host?)$(deployed_profiles)"
}

# deployed_profiles: what was deployed there all the same (command/profile), behind a sentence.
deployed_profiles() {
    local each
    for each in /var/lib/deploy-flake-*/deployments.jsonl; do
        [ -r "$each" ] || continue
        # A text in a record has no quote without a backslash.
        tail -n 1 "$each" | sed -n 's/.*"outcome": "\([a-z-]*\)".*"live": "\([^"\]*\)".*/\1, \2/p' | while read -r line; do
            each=${each#/var/lib/deploy-flake-}
            printf '%s' "; it has the profile ${each%/*}: $line"
        done
    done
}
