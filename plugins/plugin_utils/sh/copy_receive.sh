# Puts the NAR on standard input into the store. From the controller: path, nar_size.
# shellcheck shell=sh

# no REASON MESSAGE: nothing will come of this flake.
no() {
    drop_root "$path"
    refuse "$@"
}

main() {
    answer_begin
    require_root
    free=$(free_kib /nix)
    # Once unpacked, once in the store.
    needed=$((nar_size / 512 + 1024))
    [ "$free" -ge "$needed" ] || no no-space "has $free KiB free on /nix, and needs $needed KiB for the flake"
    temporary=$(mktemp -d /nix/var/nix/deploy-flake.XXXXXXXX) || no no-space "cannot make a temporary directory in /nix/var/nix"
    trap 'rm -rf "$temporary"' EXIT
    trap 'exit 143' HUP INT TERM
    # A stream that was cut off never gets a name in the store.
    nix-store --restore "$temporary/source" 2>"$temporary/error" || no not-restored "could not unpack the flake: $(tail -n 3 "$temporary/error")"
    added=$(nix-store --add-fixed --recursive sha256 "$temporary/source" 2>"$temporary/error") ||
        no not-added "could not add the flake to the store: $(tail -n 3 "$temporary/error")"
    [ "$added" = "$path" ] || no other-path "put the flake at $added, and $path was expected"
    answer added "$added"
}

main
exit
