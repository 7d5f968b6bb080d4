# Where reasons and notes go in check mode: into the answer. A deployment has reports_to_directory in its place.
# inputs: on_reboot_required mode
# needs: base journal
# shellcheck shell=sh

why() { answer why "$1"; }
note() { answer note "$1"; }

stop_unchanged() {
    why "$1"
    [ ! -s "$dir/failed" ] || answer journal "$(unit_journals <"$dir/failed")"
    exit 0
}

needs_reboot() {
    answer needs_reboot "$1"
    [ "$mode" = boot ] || [ "$on_reboot_required" != fail ] || stop_unchanged "the new system needs a reboot, and nothing would be activated: $1"
    mode=boot
}
