# home-manager: what a user has at home, activated as that user.
# sets: error_pattern
# needs: base profile_owner
# shellcheck shell=sh

# is_lacking GENERATION: why it is none; nothing, if it is one. A release that moves the profile by itself leaves nothing to confirm.
is_lacking() {
    if [ ! -x "$1/activate" ] || [ ! -e "$1/home-files" ]; then
        echo "it is not a generation of home-manager, it has no activate and home-files"
    elif ! keeps_the_profile "$1"; then
        echo "its release of home-manager moves the profile by itself when it is activated (its activate knows no --driver-version); use a newer one"
    fi
}

keeps_the_profile() { grep -q -e '--driver-version' "$1/activate"; }

check_generation() { :; }

# activate_generation LIMIT GENERATION: one of an earlier release, which ran before, moves the profile to itself, which is where it was.
activate_generation() {
    if keeps_the_profile "$2"; then for_profile "$1" "$2/activate" --driver-version 1; else for_profile "$1" "$2/activate"; fi
}

know_all_of() { :; }

can_be_taken_away() { return 1; }

deactivate_generation() { return 1; }

after_move() { :; }

# shellcheck disable=SC2034
error_pattern=

# unit_of GENERATION UNIT: of the host's own it has none.
unit_of() { :; }
