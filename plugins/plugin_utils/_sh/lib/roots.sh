# Roots of the garbage collector that a deployment, or what comes before it, has made.
# needs: base
# shellcheck shell=sh

# drop_root PATH, drop_all_roots: lets garbage collection have a flake or a system again that no deployment came of. The
# roots of a deployment itself are its own business.
drop_root() {
    [ -n "$1" ] || return 0
    rm -f "$roots/${1##*/}"
    rmdir "$roots" 2>/dev/null
}

# drop_roots PATHS: of each line.
drop_roots() {
    local path
    while read -r path; do drop_root "$path"; done <<END
$1
END
}

drop_all_roots() {
    local root
    [ -d "$roots" ] || return 0
    for root in "$roots"/*; do
        case $root in
        "$roots"/deployment-*) ;;
        *) rm -f "$root" ;;
        esac
    done
    rmdir "$roots" 2>/dev/null
}
