# Any profile with a program that activates it, as deploy-rs has them: deploy-rs-activate, bin/activate or activate, or what the operator names.
# sets: error_pattern
# needs: base profile_owner
# shellcheck shell=sh

# activation_program GENERATION: in $program_name.
activation_program() {
    local each
    program_name=
    for each in ${activate:+"$activate"} deploy-rs-activate bin/activate activate; do
        [ -z "$program_name" ] && [ -f "$1/$each" ] && [ -x "$1/$each" ] && program_name=$each
        [ -z "$activate" ] || break
    done
    [ -n "$program_name" ]
}

# is_lacking GENERATION: why it is none; nothing, if it is one.
is_lacking() { activation_program "$1" || echo "it has no program ${activate:-deploy-rs-activate, bin/activate or activate} that activates it"; }

check_generation() { :; }

# activate_generation LIMIT GENERATION: with what programs for deploy-rs want.
activate_generation() {
    activation_program "$2" || {
        status=127
        return
    }
    # shellcheck disable=SC2016 # for the shell that it is given to
    for_profile "$1" env PROFILE="$2" DRY_ACTIVATE=0 BOOT=0 /bin/sh -c 'cd "$PROFILE" && exec "$0"' "$2/$program_name"
}

know_all_of() { :; }

can_be_taken_away() { [ -x "$1/bin/deactivate" ]; }

deactivate_generation() {
    can_be_taken_away "$2" || return 1
    for_profile "$1" "$2/bin/deactivate"
}

after_move() { :; }

# shellcheck disable=SC2034
error_pattern=

# unit_of GENERATION UNIT: nobody knows which are its.
unit_of() { :; }
