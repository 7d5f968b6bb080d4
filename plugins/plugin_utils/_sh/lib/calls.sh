# Calls of ours that move what runs or what boots, and the link that says whose the boot default is.
# facts: new previous_boot
# needs: base profile
# shellcheck shell=sh

# identity LINK: in $identity. A link that is made again is another one.
identity() { identity=$(TZ=UTC0 stat -c '%i %z' "$1" 2>/dev/null) || identity=none; }

# begin_call NAME: live or boot; what is found there after it was cut off may be ours. No, if that cannot be written.
begin_call() { printf '%s\n' "$1" >"$dir/call"; }

# end_boot_call: what it has made is ours.
end_boot_call() {
    identity "$profile"
    [ "$(boot_default)" != "$new" ] || printf '%s\n' "$identity" >"$dir/our-boot"
}

# boot_is_theirs: what boots is in $default.
boot_is_theirs() {
    default=$(boot_default)
    [ "$default" != "$previous_boot" ] || return 1
    identity "$profile"
    read_line "$dir/our-boot"
    [ "$identity" != "$line" ] || return 1
    read_line "$dir/call"
    [ "$line" != boot ] || [ "$default" != "$new" ]
}
