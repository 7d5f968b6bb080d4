# Which snapshots of flakes the host has. paths: one a line.
# inputs: paths
# sets: lacking
# needs: base broken_copies make_root
# shellcheck shell=sh

lacks() {
    lacking=yes
    answer missing "$1"
}

# root_snapshots: roots $paths, one a line, which are about to be used, and says which of them the host lacks.
root_snapshots() {
    local path there
    command -v nix-store >/dev/null || refuse no-nix "has no nix-store in $PATH (is Nix installed there?)"
    drop_broken_copies
    lacking=no
    while read -r path; do make_root "$path"; done <<END
$paths
END
    there=
    for path in $paths; do
        if [ -e "$path" ]; then there="$there $path"; else lacks "$path"; fi
    done
    [ -n "$there" ] || return 0
    # shellcheck disable=SC2086 # words
    for path in $(nix-store --check-validity --print-invalid $there); do lacks "$path"; done
}
