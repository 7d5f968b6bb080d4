# Nix in a unit of its own, as the user who logs in.
# needs: cache_directory
# shellcheck shell=sh

# nix_unit SECONDS ARGUMENTS…: systemd-run with these arguments, as the user $login_user, with the cache that choose_cache has chosen and
# what lend_nix_config has lent. So long systemd may take to begin, or the command where it is waited for. --description is one of them:
# else systemd logs the command line, and a flake reference may have a login in it.
nix_unit() {
    local limit
    limit=$1
    shift
    timeout -k 5 "$limit" systemd-run --quiet --collect --no-ask-password -p User="$login_user" -E PATH="$PATH" \
        ${cache_name:+-p CacheDirectory="$cache_name" -p CacheDirectoryMode=0700 -E XDG_CACHE_HOME="/var/cache/$cache_name"} \
        ${credential:+-p LoadCredential="$credential" -E NIX_USER_CONF_FILES="$config_files"} "$@"
}
