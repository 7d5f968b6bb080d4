# What evaluations of locked sources have led to since the host was started: the same sources lead to the same again, so neither Nix nor a unit is
# needed to hear it once more.
# pure: a name for all that was asked; nothing, if more than that counts.
# inputs: pure
# sets: asked value
# needs: base
# shellcheck shell=sh

evaluated=$run_dir/evaluated
nix_conf=/etc/nix/nix.conf

# asked_name: what a value is found by, in $asked: what was asked, and what nix.conf was like then.
asked_name() {
    asked=
    [ -z "$pure" ] || asked="$pure $(cksum "$nix_conf" 2>/dev/null)"
}

# find_value: in $value, where it is known.
find_value() {
    local found
    [ -n "$pure" ] && [ -e "$evaluated" ] || return 1
    asked_name
    found=$(grep "^$asked: " "$evaluated")
    found=${found##*"$newline"}
    value=${found#"$asked: "}
    [ "$value" != "$found" ]
}

# note_value ASKED VALUE: the latest fifty are kept. Where it does not fit, it is evaluated again.
note_value() {
    case $2 in *"$newline"*) return ;; esac
    [ -n "$1" ] && [ "${#2}" -lt 65536 ] || return 0
    {
        { [ ! -e "$evaluated" ] || tail -n 49 "$evaluated"; } && printf '%s: %s\n' "$1" "$2"
    } >"$evaluated.$$" 2>/dev/null && mv -f "$evaluated.$$" "$evaluated" || rm -f "$evaluated.$$"
}
