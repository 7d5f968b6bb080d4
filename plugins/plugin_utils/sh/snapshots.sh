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
        nix-store --check-validity "$path" 2>/dev/null || {
            lacking=yes
            answer missing "$path"
        }
    done <<END
$paths
END
}
