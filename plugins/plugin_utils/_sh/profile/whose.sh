# Whose is what runs: somebody else who activates a generation moves the profile.
# facts: new new_live previous_boot
# needs: base calls live
# shellcheck shell=sh

# note_links: before anything is begun. The way back leads to what the profile names, whatever an earlier deployment has left live.
# shellcheck disable=SC2034
note_links() {
    previous_live=$previous_boot
    identity "$profile"
    printf '%s\n' "$identity" >"$dir/our-boot"
}

# end_call: what it has made is ours.
end_call() {
    read_line "$dir/call"
    case $line in
    live) [ "$(live_system)" != "$new_live" ] || printf '%s\n' "$new_live" >"$dir/made" || return 1 ;;
    boot) end_boot_call || return 1 ;;
    esac
    printf '' >"$dir/call"
}

# live_is_theirs: what runs is in $live.
# shellcheck disable=SC2034
live_is_theirs() {
    live=$(live_system)
    boot_is_theirs
}

# may_commit: whether the host runs what was tried and nobody else has moved the profile.
may_commit() {
    [ "$mode" != test ] || [ "$(live_system)" = "$new_live" ] || return 1
    ! boot_is_theirs
}
