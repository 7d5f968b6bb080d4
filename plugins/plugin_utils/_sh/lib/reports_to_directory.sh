# Where a deployment's reasons and notes go: into its directory. Check mode has reports_to_answer in its place.
# inputs: on_reboot_required specialisation mode
# needs: journal record
# shellcheck shell=sh

# why CODE TEXT: the first reason is the one that counts. The text tells that it is whole.
why() {
    [ -s "$dir/why" ] || { printf '%s\n' "$1" >"$dir/why_code"; printf '%s\n' "$2" >"$dir/why"; }
    echo "deployment $id: $2"
}

# note TEXT: what the operator should know beside the outcome.
note() {
    printf '%s\n' "$1" >>"$dir/notes"
    echo "deployment $id: $1"
}

# stop_unchanged CODE TEXT: before anything was activated.
stop_unchanged() {
    why "$1" "$2"
    unit_journals <"$dir/failed" >"$dir/journal" 2>/dev/null
    finish refused
    exit 0
}

# give_up CODE TEXT: after it. The undo follows as ExecStopPost.
give_up() {
    why "$1" "$2"
    [ ! -s "$dir/failed" ] || unit_journals <"$dir/failed" >"$dir/journal"
    exit 1
}

# needs_reboot CODE TEXT: nothing was activated. The operator has chosen whether that is an end, or the system becomes the boot
# default without a test. A confirmation is waited for all the same.
needs_reboot() {
    [ "$mode" = boot ] || [ "$on_reboot_required" != fail ] || stop_unchanged reboot-required "the new system needs a reboot, and nothing was activated: $2"
    note "the new system needs a reboot, so it was not tested: $2"
    [ "$new_live" = "$new" ] || note "after the reboot it runs without its specialisation $specialisation, unless that is chosen in the boot menu"
    printf 'boot\n' >"$dir/mode.new" && mv -f "$dir/mode.new" "$dir/mode"
    mode=boot
}
