# Snapshots that were never whole.
# needs: base
# shellcheck shell=sh

# drop_broken_copies: what is left of copies in which the host lost its power or was restarted. Those of this boot are $copies.*.
drop_broken_copies() {
    local copied_at
    read_line /proc/sys/kernel/random/boot_id
    copies=/nix/var/nix/deploy-flake.$line
    for copied_at in /nix/var/nix/deploy-flake.*; do
        case $copied_at in
        "$copies".*) ;;
        *) [ ! -d "$copied_at" ] || rm -rf "$copied_at" ;;
        esac
    done
}
