# Which system the boot loader starts by itself, read from its own files.
# shellcheck shell=sh

# loader_default DIRECTORY…: the toplevel that is started where nobody chooses another. Nothing where that can't be told: without the right
# to read the files, with a choice that is kept in the firmware, a pattern or a saved entry, or by a loader that is not known here.
loader_default() {
    local at entry firmware
    for firmware in /sys/firmware/efi/efivars/LoaderEntryDefault-*; do
        [ ! -e "$firmware" ] || return 0
    done
    for at in "$@"; do
        if [ -r "$at/loader/loader.conf" ]; then
            entry=$(sed -n 's/^default[[:space:]]\{1,\}//p' "$at/loader/loader.conf" | tail -n 1)
            # A pattern is no name of a file.
            entry=$at/loader/entries/${entry%.conf}.conf
            [ ! -r "$entry" ] || sed -n 's|^options.*init=\(/nix/store/[^/ ]*\)/init.*|\1|p' "$entry" | head -n 1
            return 0
        elif [ -r "$at/grub/grub.cfg" ]; then
            # The default may be an entry that was saved; the last line about it is the one for a start without a choice.
            case $(sed -n 's/^ *set default=//p' "$at/grub/grub.cfg" | tail -n 1) in
            0 | '"0"') awk '/^menuentry / { inside = 1 }
                inside && match($0, /init=\/nix\/store\/[^\/ ]*\/init/) { print substr($0, RSTART + 5, RLENGTH - 10); exit }
                inside && /^}/ { exit }' "$at/grub/grub.cfg" ;;
            esac
            return 0
        elif [ -r "$at/extlinux/extlinux.conf" ]; then
            awk '$1 == "DEFAULT" { wanted = $2 } $1 == "LABEL" { inside = ($2 == wanted) }
                inside && match($0, /init=\/nix\/store\/[^\/ ]*\/init/) { print substr($0, RSTART + 5, RLENGTH - 10); exit }' \
                "$at/extlinux/extlinux.conf"
            return 0
        fi
    done
}
