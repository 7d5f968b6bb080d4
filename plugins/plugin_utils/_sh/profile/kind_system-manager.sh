# system-manager (numtide): files of /etc, and units, on a host that is no NixOS. Its engine writes them for good, also before the profile moves.
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

# know_all_of LIMIT GENERATION: its engine notes what it has put in place only at the end. This notes all, and starts nothing; so the activation
# of another generation takes it away, and restarts what is another unit.
know_all_of() { [ ! -x "$2/bin/prepopulate" ] || for_profile "$1" "$2/bin/prepopulate"; }

can_be_taken_away() { [ -x "$1/bin/deactivate" ]; }

deactivate_generation() {
    can_be_taken_away "$2" || return 1
    for_profile "$1" "$2/bin/deactivate"
}

# after_move GENERATION: what its own `register` does beside the profile.
after_move() {
    if [ -n "$1" ]; then ln -sfn "$1" /nix/var/nix/gcroots/system-manager-current; else rm -f /nix/var/nix/gcroots/system-manager-current; fi
}

# said_errors: its engine exits 0 though files or units could not be put in place, and logs that.
said_errors() { grep -E '^\[[^]]* ERROR [^]]*\]'; }

# unit_of GENERATION UNIT: the file that it has for it, by the list that its engine goes by.
unit_of() {
    [ ! -r "$1/services/services.json" ] || tr -d '\n' <"$1/services/services.json" | awk -v name="\"$2\"" '
        (at = index($0, name)) {
            rest = substr($0, at + length(name))
            if (match(rest, /^[ \t]*:[ \t]*\{[^}]*\}/)) print substr(rest, RSTART, RLENGTH)
        }'
}
