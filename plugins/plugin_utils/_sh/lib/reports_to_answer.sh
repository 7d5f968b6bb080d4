# Where reasons and notes go in check mode: into the answer. A deployment has reports_to_directory in its place.
# inputs: on_reboot_required mode
# needs: base journal
# shellcheck shell=sh

# why CODE TEXT
why() {
    answer why_code "$1"
    answer why "$2"
}

note() { answer note "$1"; }

# stop_unchanged CODE TEXT: where a deployment would.
stop_unchanged() {
    why "$1" "$2"
    [ ! -s "$dir/failed" ] || answer journal "$(unit_journals <"$dir/failed")"
    exit 0
}

# needs_reboot CODE TEXT: as a deployment does, it goes on to a boot without a test, or stops.
needs_reboot() {
    answer needs_reboot "$1"
    [ "$mode" = boot ] || [ "$on_reboot_required" != fail ] || stop_unchanged reboot-required "the new system needs a reboot, and nothing would be activated: $2"
    mode=boot
}
