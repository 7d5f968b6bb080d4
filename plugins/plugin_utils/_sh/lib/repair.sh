# What an earlier deployment left unfinished: repaired by the next one, before anything else, while it holds the unit's name.
# inputs: rollback_limit
# needs: base commit deployed_secrets durable lasting_unit log open_marks own_storage power_loss process profile record reports_to_directory states whose
# shellcheck shell=sh disable=SC2030,SC2031

repair_others() {
    local other
    for other in "$run_dir"/*/settings; do
        [ -e "$other" ] || continue
        other=${other%/settings}
        [ "$other" != "$dir" ] && [ -e "$other/program" ] || continue
        read_line "$other/state"
        if [ -z "$line" ]; then
            # A starter that is about to ask for the unit's name, or died before it could.
            [ $(($(date +%s) - $(stat -c %Y "$other"))) -lt 600 ] || remove_directory "$other"
            continue
        fi
        repair_one "$other" || return 1
    done
    open_id=$(open_field id)
    [ -n "$open_id" ] || {
        # A power loss at the very end has left its mark, which means nobody any more.
        rm -f "$var_dir/open.confirmed" "$var_dir/open.undone" "$var_dir/open.last-resort"
        change_of_secrets back anybody || :
        [ ! -d "$var_dir/secrets.open" ]
        return
    }
    repaired=yes
    repair_after_power_loss
}

# repair_one DIRECTORY: by its own undo, in a unit and cgroup of its own; its guard may be at it already.
# shellcheck disable=SC2086 # the interpreter and the properties are words
repair_one() {
    local tries
    read_line "$1/state"
    is_final "$line" || note "an earlier deployment (${1##*/}) was left unfinished while $line, and was undone first"
    # The time that was told is over, and was of no use while nobody was at it: what is begun now has all of it.
    rm -f "$1/ways-until" "$1/ways-rounds"
    tries=0
    while [ -e "$1/settings" ]; do
        limited "$rollback_limit" systemd-run --quiet --collect --wait --no-ask-password --service-type=exec $lasting \
            --unit="deploy-flake-repair-${1##*/}" --description="undoes deployment ${1##*/} again" $interpreter "$1/program" undo "$1" </dev/null
        read_line "$1/state"
        ! is_final "$line" || break
        tries=$((tries + 1))
        [ "$tries" -lt "$rollback_limit" ] || return 1
        pause 1
    done
    # Without its line on disk it stays the only witness.
    [ -e "$1/settings" ] && [ ! -e "$1/recorded" ] || remove_directory "$1"
}

# After a power loss only open.json is left. The host has booted one of two systems; profile and boot loader are made to
# agree: forward if the new system was confirmed and either names it, back otherwise.
repair_after_power_loss() (
    lost=$open_id
    id=$lost
    new=$(open_field new)
    new_live=$(open_field new_live)
    # One that was begun by a release that knew nothing of specialisations.
    new_live=${new_live:-$new}
    started=$(open_field started)
    previous_live=$(open_field previous_live)
    previous_boot=$(open_field previous_boot)
    previous_generation=$(open_field previous_generation)
    highest_generation=$(open_field highest_generation)
    mode=boot
    phase=power-lost
    may_die=no
    can_be_repaired || exit 1
    lost_dir=$dir/lost
    rm -rf "$lost_dir"
    mkdir -p "$lost_dir"
    sed -n 's/^"about": {\(.*\)}$/\1/p' "$var_dir/open.json" >"$lost_dir/about"
    main_dir=$dir
    dir=$lost_dir
    open_log log
    note_links
    outcome=$(recorded_outcome)
    if [ -n "$outcome" ]; then
        close "$outcome"
    elif [ "$(open_field only_secrets)" = yes ]; then
        secrets_after_power_loss
    else
        why power-lost "the host lost power or was rebooted during the deployment"
        ! is_marked last-resort || { printf 'reboot\n' >"$dir/rung" && note "it was rebooted into its boot default, since no other way led back to what ran"; }
        if forward_after_power_loss; then
            is_live_after_power_loss && finish_commit || finish commit-failed
        else
            secrets_left=no
            change_of_secrets back || secrets_left=yes
            # What was undone had moved it, perhaps.
            if [ "$(boot_default)" = "$previous_boot" ] || { is_marked undone && [ "$(boot_default)" = "$new" ]; }; then
                if ! is_back_after_power_loss; then
                    finish commit-failed
                elif [ "$secrets_left" = yes ]; then
                    # The previous system, with new secrets.
                    finish rollback-failed
                else
                    finish interrupted
                fi
            else
                note "somebody else has made $(boot_default) the boot default meanwhile, and it stays"
                finish superseded
            fi
        fi
    fi
    dir=$main_dir
    read_line "$lost_dir/state"
    note "an earlier deployment ($lost) was interrupted by a power loss or reboot; it is now $([ "$line" = until-reboot ] && echo over || echo "$line")"
    # Which path keeps this one from going on stands in the record of the other one alone.
    [ ! -d "$var_dir/secrets.open" ] || [ -z "${secrets_noted-}" ] || note "secrets of deployment $lost: $secrets_noted"
    rm -rf "$lost_dir"
    # What is open of its secrets would have this deployment undone at its end.
    is_final "$line" && [ ! -d "$var_dir/secrets.open" ]
)

# secrets_after_power_loss: of a deployment that has touched nothing else; the boot has put back what was not confirmed.
secrets_after_power_loss() {
    why power-lost "the host lost power or was rebooted during the deployment"
    secrets_left=no
    if is_marked confirmed; then
        finish committed
    elif change_of_secrets back; then
        finish interrupted
    else
        secrets_left=yes
        finish rollback-failed
    fi
}
