# A source that comes on standard input: a snapshot of a flake, or an input of one. packed: whether by gzip; its size is without that.
# inputs: path nar_size packed
# needs: base broken_copies free_space roots
# shellcheck shell=sh

# lost_snapshot REASON MESSAGE: nothing will come of it.
lost_snapshot() {
    drop_root "$path"
    refuse "$@"
}

unpack() {
    if [ "$packed" = yes ]; then
        gzip -dc | nix-store --restore "$temporary/source"
    else
        nix-store --restore "$temporary/source"
    fi
}

# receive_snapshot: puts the NAR on standard input into the store, as $path; its size is $nar_size.
receive_snapshot() {
    local added needed
    drop_broken_copies
    free_kib /nix
    # Once unpacked, once in the store.
    needed=$((nar_size / 512 + 1024))
    [ "${free:-$needed}" -ge "$needed" ] || lost_snapshot no-space "has $free KiB free on /nix, and needs $needed KiB for $path; $space_helps, or leave out of the flake what is large"
    temporary=$(mktemp -d "$copies.XXXXXXXX") || lost_snapshot no-space "cannot make a temporary directory in /nix/var/nix"
    # Not local: this is done when the shell ends.
    trap 'rm -rf "$temporary"' EXIT
    trap 'exit 143' HUP INT TERM
    # A stream that was cut off never gets a name in the store.
    unpack 2>"$temporary/error" || lost_snapshot not-restored "could not unpack $path: $(tail -n 3 "$temporary/error")"
    added=$(nix-store --add-fixed --recursive sha256 "$temporary/source" 2>"$temporary/error") ||
        lost_snapshot not-added "could not add $path to the store: $(tail -n 3 "$temporary/error")"
    [ "$added" = "$path" ] || lost_snapshot other-path "put what it got at $added, and $path was expected"
    rm -rf "$temporary"
}
