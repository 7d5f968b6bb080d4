# system-manager (numtide): files of /etc, and units, on a host that is no NixOS. Its engine writes them for good, also before the profile moves.
# facts: previous_live
# sets: error_pattern
# needs: base profile_owner
# shellcheck shell=sh

# is_lacking GENERATION: why it is none; nothing, if it is one.
is_lacking() {
    local part
    for part in bin/activate bin/preActivationAssertions services/services.json; do
        [ -e "$1/$part" ] || { echo "it is not of system-manager, it has no $part" && return; }
    done
}

check_generation() { for_profile "$1" "$2/bin/preActivationAssertions"; }

activate_generation() { for_profile "$1" "$2/bin/activate"; }

# know_all_of LIMIT GENERATION: its engine notes what it has put in place only at the end, and takes what is there already for somebody else's. So
# the links of one that did not end go, and are made again by what notes all and starts nothing; then the activation of another generation takes
# them away, and restarts what is another unit.
know_all_of() {
    [ -x "$2/bin/prepopulate" ] || return 0
    drop_links "$2"
    for_profile "$1" "$2/bin/prepopulate"
}

# drop_links GENERATION: those in /etc that lead to its own files, and that the previous one has not.
drop_links() {
    local at file its name was
    its=$(static_files "$1")
    was=$(static_files "$previous_live")
    [ -d "$its" ] || return 0
    find -L "$its" ! -type d | while IFS= read -r file; do
        name=${file#"$its/"}
        at=$(readlink -f "$file")
        [ "$(readlink "$etc/$name")" = "$at" ] || continue
        [ -n "$was" ] && [ "$(readlink -f "$was/$name")" = "$at" ] || rm -f "$etc/$name"
    done
}

etc=/etc

# static_files GENERATION: the directory of all that it links in /etc.
static_files() { sed -n 's/.*"staticEnv":"\([^"]*\)".*/\1/p' "$1/etcFiles/etcFiles.json" 2>/dev/null; }

can_be_taken_away() { [ -x "$1/bin/deactivate" ]; }

deactivate_generation() {
    can_be_taken_away "$2" || return 1
    for_profile "$1" "$2/bin/deactivate"
}

# after_move GENERATION: what its own `register` does beside the profile.
after_move() {
    if [ -n "$1" ]; then ln -sfn "$1" /nix/var/nix/gcroots/system-manager-current; else rm -f /nix/var/nix/gcroots/system-manager-current; fi
}

# Its engine exits 0 though files or units could not be put in place, and logs that.
# shellcheck disable=SC2034
error_pattern='^\[[^]]* ERROR [^]]*\]'

# unit_of GENERATION UNIT: the file that it has for it, by the list that its engine goes by.
unit_of() {
    [ ! -r "$1/services/services.json" ] || tr -d '\n' <"$1/services/services.json" | awk -v name="\"$2\"" '
        (at = index($0, name)) {
            rest = substr($0, at + length(name))
            if (match(rest, /^[ \t]*:[ \t]*\{[^}]*\}/)) print substr(rest, RSTART, RLENGTH)
        }'
}
