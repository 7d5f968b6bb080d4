# What the secrets that were sent for a deployment mean for whether it may begin, and go on. Its reports go where the program wants them, as those of
# check_before_switch.
# brings_secrets: whether some were sent for it.
# inputs: brings_secrets only_secrets mode
# facts: new new_live
# needs: base complain lines secrets_at_boot staged_secrets
# shellcheck shell=sh

# secrets_mend_that: where all that has failed is restarted with them. It may have failed for want of one, which a boot has taken away.
secrets_mend_that() {
    [ "$brings_secrets:$code" = yes:units-failed-before ] && [ -s "$secrets_dir/$id/units" ] || return 1
    sed -n 's/^restart://p' "$secrets_dir/$id/units" >"$dir/mended" && [ -z "$(lines_without "$dir/mended" <"$dir/failed")" ] || return 1
    note "had failed already, and are restarted with their secrets: $(paste -s -d ' ' "$dir/failed")"
    printf '' >"$dir/failed"
}

# secrets_outlast_boot: whether a boot that is to bring them to the units leaves them there.
secrets_outlast_boot() {
    local lost
    [ "$brings_secrets" = yes ] && ! brings_secrets_at_boot "$new" || return 0
    # Also what is there already.
    lost=$(cut -f 2 "$secrets_dir/$id/secrets" 2>/dev/null | grep -e '^/run/' | paste -s -d ' ')
    [ -z "$lost" ] || complain secrets "the new system is not tried, and the boot that is to bring it takes away what is below /run: $lost; \
import the NixOS module of deploy-flake (nixosModules.default, deploy-flake.secrets.enable) in it, or have them elsewhere, as in /etc/secrets"
}

# secrets_have_units: whether all is there that is to read them again, once the new system is live.
secrets_have_units() {
    local named wrong
    wrong=
    [ "$brings_secrets:$mode" = yes:test ] || return 0
    # shellcheck disable=SC2013 # their names have neither blanks nor patterns, and a pipe would lose what is found
    for named in $(sort -u "$secrets_dir/$id/units"); do
        if [ "$only_secrets" = no ]; then
            comes_or_stays "${named#*:}" || wrong="$wrong${wrong:+; }the new system has no unit ${named#*:}"
            continue
        fi
        case ${named%%:*}:$(sc show -p LoadState -p ActiveState -p CanReload -- "${named#*:}") in
        *LoadState=not-found*) wrong="$wrong${wrong:+; }there is no unit ${named#*:}" ;;
        *ActiveState=inactive*) ;;
        reload:*CanReload=no*) wrong="$wrong${wrong:+; }${named#*:} has no reload, and has to be in restart_units" ;;
        esac
    done
    [ -z "$wrong" ] || complain secrets "not all units can read the secrets again: $wrong"
}

# comes_or_stays UNIT: whether the new system has it, or it is none of a system's: one of /run, or of systemd itself. What generators make of the new
# system nobody can tell yet.
comes_or_stays() {
    local unit_file
    case $1 in *.mount | *.path | *.slice) return 0 ;; esac
    for unit_file in "$1" "${1%%@*}@.${1##*.}"; do
        [ ! -e "$new_live/etc/systemd/system/$unit_file" ] && [ ! -L "$new_live/etc/systemd/system/$unit_file" ] || return 0
    done
    case $(sc show -p FragmentPath --value -- "$1") in '' | /etc/systemd/system/*) return 1 ;; esac
}

# tell_units_of_secrets: what they would be asked for, as far as the units are there already.
tell_units_of_secrets() {
    local named
    [ "$brings_secrets" = no ] || while read -r named; do
        case $(sc show -p ActiveState --value -- "${named#*:}") in
        '' | inactive) ;;
        *) answer secret_unit "${named%%:*} ${named#*:}" ;;
        esac
    done <"$secrets_dir/$id/units"
}
