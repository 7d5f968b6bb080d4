# Whose is what runs, and whose is what boots: told apart by what this deployment did, never by a path that happens to be equal or
# different. Which link it is, is noted before anything is begun and after each call of ours that moves it. Another link is somebody
# else's, also where it names the same, unless a call of ours was cut off.
# facts: new new_live previous_live previous_boot
# needs: base calls live
# shellcheck shell=sh

# note_links: before anything is begun.
note_links() {
    identity /run/current-system
    printf '%s\n' "$identity" >"$dir/our-live" || return 1
    identity "$profile"
    printf '%s\n' "$identity" >"$dir/our-boot"
}

# end_call: what it has made is ours; what it cannot have made is somebody else's.
end_call() {
    read_line "$dir/call"
    case $line in
    live)
        # The link first: whoever makes it anew behind that is somebody else.
        identity /run/current-system
        live=$(live_system)
        # One that is as before was not made by it, whatever it names.
        read_line "$dir/our-live"
        if [ "$identity" != "$line" ] && may_have_made "$live"; then
            printf '%s\n' "$live" >"$dir/made" && printf '%s\n' "$identity" >"$dir/our-live" || return 1
        fi
        ;;
    boot) end_boot_call || return 1 ;;
    esac
    printf '' >"$dir/call"
}

# may_have_made SYSTEM: whether our own activation leads to it. A system that wraps another one leads to that, which is a part of it.
# Where nobody can tell, it is ours: what is ours is undone, and the host can be reached again.
may_have_made() {
    local parts
    [ "$1" != "$new_live" ] || return 0
    parts=$(timeout -k 5 60 nix-store --query --requisites "$new_live" 2>/dev/null 9>&-) || return 0
    case "$newline$parts$newline" in *"$newline$1$newline"*) return 0 ;; *) return 1 ;; esac
}

# live_is_theirs: what runs is in $live. The previous system is nobody's loss.
live_is_theirs() {
    live=$(live_system)
    [ "$live" != "$previous_live" ] || return 1
    identity /run/current-system
    read_line "$dir/our-live"
    [ "$identity" != "$line" ] || return 1
    read_line "$dir/call"
    [ "$line" != live ] || ! may_have_made "$live"
}

# may_commit: whether the host runs what was tried and nobody else has moved the boot default; the look before each step of a commit.
# Where they made live the very system that was tried, that hinders nobody.
may_commit() {
    if [ "$mode" = test ]; then
        live=$(live_system)
        read_line "$dir/made"
        [ "$live" = "${line:-$new_live}" ] || return 1
    fi
    ! boot_is_theirs
}
