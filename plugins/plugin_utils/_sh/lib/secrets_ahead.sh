# What the secrets that were sent for a deployment mean for whether it may begin, and go on. Its reports go where the program wants them, as those of
# check_before_switch.
# brings_secrets: whether some were sent for it.
# inputs: brings_secrets only_secrets
# facts: new
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

# secrets_have_units: whether all is there that is to read them again. Where the host gets another system, that one decides which units there are.
secrets_have_units() {
    local named wrong
    wrong=
    [ "$brings_secrets:$only_secrets" != yes:yes ] || while read -r named; do
        case ${named%%:*}:$(sc show -p LoadState -p ActiveState -p CanReload -- "${named#*:}") in
        *LoadState=not-found*) wrong="$wrong${wrong:+; }there is no unit ${named#*:}" ;;
        *ActiveState=inactive*) ;;
        reload:*CanReload=no*) wrong="$wrong${wrong:+; }${named#*:} has no reload, and has to be in restart_units" ;;
        esac
    done <"$secrets_dir/$id/units"
    [ -z "$wrong" ] || complain secrets "not all units can read the secrets again: $wrong"
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
