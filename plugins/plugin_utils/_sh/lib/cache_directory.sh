# Where Nix keeps its cache for one unit.
# sets: cache_name
# shellcheck shell=sh

# choose_cache: for the user $login_user, who need not have a home that can be written to: then a directory below /var/cache that
# systemd makes for the unit, in $cache_name; nothing where the cache is in the home, as it is for the user's own commands.
choose_cache() {
    local at home uid
    cache_name=
    uid=$(timeout -k 5 20 id -u -- "$login_user")
    home=$(timeout -k 5 20 getent passwd "$login_user" | cut -d: -f6)
    for at in "$home/.cache/nix" "$home/.cache" "$home"; do
        [ -e "$at" ] || continue
        # What root made there is often in the way of the user. A file system that is mounted read-only is so for root too.
        case $(timeout -k 5 20 stat -L -c %u:%A "$at") in "$uid":drwx*) [ ! -w "$at" ] || return 0 ;; esac
        break
    done
    cache_name=deploy-flake/$uid
}
