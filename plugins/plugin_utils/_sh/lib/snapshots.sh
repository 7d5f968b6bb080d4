# Snapshots of flakes in the store of the host.
# needs: common free_space
# shellcheck shell=sh

# lost_snapshot REASON MESSAGE: nothing will come of it.
lost_snapshot() {
    drop_root "$path"
    refuse "$@"
}

# drop_broken_copies: what is left of copies in which the host lost its power or was restarted. Those of this boot are $copies.*.
drop_broken_copies() {
    read_line /proc/sys/kernel/random/boot_id
    copies=/nix/var/nix/deploy-flake.$line
    for copied_at in /nix/var/nix/deploy-flake.*; do
        case $copied_at in
        "$copies".*) ;;
        *) [ ! -d "$copied_at" ] || rm -rf "$copied_at" ;;
        esac
    done
}

# receive_snapshot: puts the NAR on standard input into the store, as $path; its size is $nar_size. room.sh goes with it.
receive_snapshot() {
    drop_broken_copies
    free_kib /nix
    # Once unpacked, once in the store.
    needed=$((nar_size / 512 + 1024))
    [ "$free" -ge "$needed" ] || lost_snapshot no-space "has $free KiB free on /nix, and needs $needed KiB for the flake"
    temporary=$(mktemp -d "$copies.XXXXXXXX") || lost_snapshot no-space "cannot make a temporary directory in /nix/var/nix"
    trap 'rm -rf "$temporary"' EXIT
    trap 'exit 143' HUP INT TERM
    # A stream that was cut off never gets a name in the store.
    nix-store --restore "$temporary/source" 2>"$temporary/error" || lost_snapshot not-restored "could not unpack the flake: $(tail -n 3 "$temporary/error")"
    added=$(nix-store --add-fixed --recursive sha256 "$temporary/source" 2>"$temporary/error") ||
        lost_snapshot not-added "could not add the flake to the store: $(tail -n 3 "$temporary/error")"
    [ "$added" = "$path" ] || lost_snapshot other-path "put the flake at $added, and $path was expected"
    rm -rf "$temporary"
}

lacks() {
    lacking=yes
    answer missing "$1"
}

# root_snapshots: roots $paths, one a line, which are about to be used, and says which of them the host lacks.
root_snapshots() {
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
