# What changes from one system to another. Looks into the store and at nothing else.
# needs: base tools
# shellcheck shell=sh

# differences OLD NEW: answers with packages, sizes, kernel and units.
differences() {
    local packages unit_change
    [ -n "$1" ] && [ "$1" != "$2" ] || return 0
    nix=$(tool nix) || return 0
    answer changes_from "$1"
    answer changes_to "$2"
    if packages=$(experimental 90 store diff-closures "$1" "$2"); then
        answer packages "$packages"
    else
        answer packages_failed "nix store diff-closures did not end well"
    fi
    answer closures "$(experimental 30 path-info --closure-size "$1" "$2")"
    kernels "$1" "$2"
    { unit_files "$1" && echo "==" && unit_files "$2"; } | changed_units | while read -r unit_change; do answer unit "$unit_change"; done
}

# experimental LIMIT ARGUMENT…: the commands are experimental, and the host need not have them enabled.
experimental() {
    local within
    within=$1
    shift
    timeout -k 5 "$within" "$nix" --extra-experimental-features nix-command "$@" 2>/dev/null </dev/null
}

# kernels OLD NEW: their versions, which may be the same although the kernel is another.
kernels() {
    local kernel_after kernel_before
    kernel_before=$(kernel_version "$1")
    kernel_after=$(kernel_version "$2")
    if [ -n "$kernel_after" ] && [ "$kernel_before" = "$kernel_after" ] && [ "$(readlink -f "$1/kernel")" != "$(readlink -f "$2/kernel")" ]; then
        kernel_after="$kernel_after, built again"
    fi
    answer kernel_before "$kernel_before"
    answer kernel_after "$kernel_after"
}

# kernel_version TOPLEVEL: the name of the directory of its modules; nothing for a container.
kernel_version() {
    local modules
    for modules in "$1"/kernel-modules/lib/modules/*; do
        [ ! -d "$modules" ] || { echo "${modules##*/}" && return; }
    done
}

# unit_files TOPLEVEL: a line "SUM SIZE ./FILE" for each unit and each drop-in; masked units are no files.
unit_files() {
    (cd "$1/etc/systemd/system" 2>/dev/null && find -L . -maxdepth 2 -type f \( ! -path './*/*' -o -path './*.d/*.conf' \) -exec cksum {} + 2>/dev/null | sort -k 3)
    return 0
}

# changed_units: from the files of both systems to lines "added|removed|changed UNIT"; a drop-in is a part of its unit.
changed_units() {
    awk '
        $0 == "==" { new = 1; next }
        {
            unit = $0
            sub(/^[0-9]+ +[0-9]+ +\.\//, "", unit)
            sub(/\.d\/.*$/, "", unit)
            files[new + 0, unit] = files[new + 0, unit] "\n" $0
            units[unit]
        }
        END {
            for (unit in units) {
                before = files[0, unit]
                after = files[1, unit]
                if (before != after) print (before == "" ? "added" : after == "" ? "removed" : "changed"), unit
            }
        }'
}
