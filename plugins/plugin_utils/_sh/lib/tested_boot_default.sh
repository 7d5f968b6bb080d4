# needs: base allowed booted complain
# shellcheck shell=sh

# tested_boot_default LIVE DEFAULT: whether the host would boot what it runs, or that does not matter; complains where not.
# A specialisation boots from the entry of its own; the boot default is the system that it belongs to.
tested_boot_default() {
    [ "$mode" = boot ] || [ -z "$2" ] || is_system_of "$1" "$2" || [ "$2" = "$new" ] || allowed untested_boot_default ||
        complain untested-boot-default "runs $1, but would boot $2: somebody tested the one or did not restart into the other"
}
