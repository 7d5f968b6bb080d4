# Which snapshots of flakes the host has. paths: one a line.
# inputs: paths
# sets: lacking
# needs: base broken_copies
# shellcheck shell=sh

lacks() {
    lacking=yes
    answer missing "$1"
}

# root_snapshots: roots $paths, one a line, which are about to be used, and says which of them the host lacks.
root_snapshots() {
    local path there tries
    command -v nix-store >/dev/null || refuse no-nix "has no nix-store in $PATH: is it a NixOS host?"
    drop_broken_copies
    lacking=no
    while read -r path; do
        # A root may point to what is not there yet. The directory goes with the last root of an ending deployment.
        tries=0
        until mkdir -p "$roots" && ln -sfn "$path" "$roots/${path##*/}"; do
            tries=$((tries + 1))
            [ "$tries" -lt 5 ] || refuse no-root "cannot make a garbage collector root in $roots: $(df -h "$roots" 2>&1 | tail -n 1)"
        done
    done <<END
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
