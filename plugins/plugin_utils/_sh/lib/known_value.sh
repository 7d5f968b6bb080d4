# What evaluations of locked sources have led to since the host was started: the same sources lead to the same again, so neither Nix nor a unit is
# needed to hear it once more.
# pure: a name for all that was asked; nothing, if more than that counts. flake_nix: that file of the flake.
# inputs: pure flake_nix
# sets: asked value
# needs: base tools
# shellcheck shell=sh

evaluated=$run_dir/evaluated
nix_conf=/etc/nix/nix.conf

# asked_name: what a value is found by, in $asked: what was asked, and which Nix and which nix.conf there were.
asked_name() {
    local word
    asked=$pure
    for word in $(stat -L -c '%i %z' "$(tool nix)" "$nix_conf" 2>/dev/null); do asked=$asked-$word; done
}

# name_to_note: the same before it is evaluated; nothing where the flake itself asks for more than pure evaluation, which a host may grant.
name_to_note() {
    asked=
    [ -z "$pure" ] || grep -q pure-eval "$flake_nix" || asked_name
}

# find_value: in $value, where it is known.
find_value() {
    local found
    [ -n "$pure" ] && [ -e "$evaluated" ] || return 1
    asked_name
    found=$(grep "^$asked: " "$evaluated")
    # The last one.
    found=${found##*"$newline"}
    value=${found#"$asked: "}
    [ "$value" != "$found" ]
}

# note_value DIRECTORY ASKED VALUE: one line; the latest fifty are kept. What does not fit is evaluated again. In the directory, which whoever calls it
# removes, it is written first.
note_value() {
    [ -n "$2" ] && [ "${#3}" -lt 16384 ] || return 0
    {
        { [ ! -e "$evaluated" ] || tail -n 49 "$evaluated"; } && printf '%s: %s\n' "$2" "$3"
    } 2>/dev/null >"$1/evaluated" && mv -f "$1/evaluated" "$evaluated"
}
