# Where a deployment's reasons and notes go: into its directory. Check mode has reports_to_answer in its place.
# inputs: on_reboot_required specialisation mode
# needs: journal record
# shellcheck shell=sh

# why TEXT: the first reason is the one that counts.
why() {
    [ -s "$dir/why" ] || printf '%s\n' "$1" >"$dir/why"
    echo "deployment $id: $1"
}

# note TEXT: what the operator should know beside the outcome.
note() {
    printf '%s\n' "$1" >>"$dir/notes"
    echo "deployment $id: $1"
}

# stop_unchanged WHY: before anything was activated.
stop_unchanged() {
    why "$1"
    unit_journals <"$dir/failed" >"$dir/journal" 2>/dev/null
    finish refused
    exit 0
}

# give_up WHY: after it. The undo follows as ExecStopPost.
give_up() {
    why "$1"
    [ ! -s "$dir/failed" ] || unit_journals <"$dir/failed" >"$dir/journal"
    exit 1
}

# needs_reboot WHY: nothing was activated. The operator has chosen whether that is an end, or the system becomes the boot
# default without a test. A confirmation is waited for all the same.
needs_reboot() {
    [ "$mode" = boot ] || [ "$on_reboot_required" != fail ] || stop_unchanged "the new system needs a reboot, and nothing was activated: $1"
    note "the new system needs a reboot, so it was not tested: $1"
    [ "$new_live" = "$new" ] || note "after the reboot it runs without its specialisation $specialisation, unless that is chosen in the boot menu"
    printf 'boot\n' >"$dir/mode.new" && mv -f "$dir/mode.new" "$dir/mode"
    mode=boot
}
