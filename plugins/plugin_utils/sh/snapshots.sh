# Snapshots of flakes in the store of the host.
# shellcheck shell=sh

# root_snapshots: roots $paths, one a line, which are about to be used, and says which of them the host lacks.
root_snapshots() {
    command -v nix-store >/dev/null || refuse no-nix "has no nix-store in $PATH: is it a NixOS host?"
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
    # shellcheck disable=SC2086 # words
    for path in $(nix-store --check-validity --print-invalid $paths); do
        lacking=yes
        answer missing "$path"
    done
}
