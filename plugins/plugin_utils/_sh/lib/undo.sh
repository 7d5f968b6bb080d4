# The undo: entered by ExecStopPost of the supervisor or by the guard, one at a time, and as often as it takes.
# inputs: rollback_limit mode only_secrets
# needs: base commit complain deployed_secrets directory ends_in_a_boot invocations journal live manager open_marks own_unit process profile record
# needs: reports_to_directory states switch units verify ways ways_back whose
# shellcheck shell=sh

# undo: 0 when the deployment has a final state, 75 when another undo is in progress or the host is about to be started again around it.
undo() {
    local outcome
    [ -e "$dir/settings" ] || return 0
    # Held by this process alone, and let go by its death; every command is started without it.
    exec 9>"$dir/undoing"
    flock -n 9 || return 75
    read_line "$dir/state"
    phase=$line
    if is_final "$phase"; then
        clean_up
        return 0
    fi
    trap '' HUP INT
    trap 'end_child; exit 143' TERM
    # Its line is there already: that is what has become of it.
    outcome=$(recorded_outcome)
    if [ -n "$outcome" ]; then
        close "$outcome"
        clean_up
        return 0
    fi
    find_phase
    if [ "$facts" = no ] || [ "$phase" = checking ] || [ -z "$phase" ]; then
        why stopped "the supervisor ended before anything was activated"
        if [ "$facts" = yes ]; then
            holds_unit && kill_others "$cgroup"
        fi
        end_as refused
        return 0
    fi
    left=
    holds_unit && kill_others "$cgroup"
    # Of its own: what the step that failed has said stays as it is.
    open_log undo.log
    free_switch_lock
    # What a call that was cut off has made is ours; from here on nothing more is.
    end_call || :
    [ -e "$dir/invocations-new" ] || note_invocations "$dir/invocations-new"
    why stopped "the supervisor ended without a result while the deployment was $phase (${SERVICE_RESULT-killed})"
    # What comes after it goes on. Where nobody knows, the boot side is worth more, and may be cut off anywhere.
    ! soft_reboot_begins || return 75
    ! go_forward || return 0
    boot_side_back
    secrets_back
    if ! machine_stopping; then
        undo_live
    elif ends_in_a_boot; then
        end_at_shutdown
    else
        return 75
    fi
}

# find_phase: an undo that died half way leaves `rolling-back`: the phase that counts is the one before, so that is written first.
find_phase() {
    if [ "$phase" = rolling-back ]; then
        read_line "$dir/phase"
        phase=$line
    elif { printf '%s\n' "$phase" >"$dir/phase.new"; } 2>/dev/null && mv -f "$dir/phase.new" "$dir/phase"; then
        case $phase in checking | '') ;; *) [ "$facts" = no ] || state rolling-back || : ;; esac
    fi
}

end_as() {
    finish "$1"
    clean_up
}

# Every holder was killed, and what hangs in the kernel holds the lock for ever.
free_switch_lock() {
    [ -n "$left" ] && lock_held || return 0
    rm -f "$switch_lock"
    note "processes $left hang in the kernel and cannot be killed: the host needs a reboot"
}

# Whether the commit point was passed.
profile_moved() {
    case $phase in
    commit-profile) [ "$(boot_default)" = "$new" ] && ! boot_is_theirs ;;
    commit-boot | commit-verify) [ "$(boot_default)" = "$new" ] ;;
    *) return 1 ;;
    esac
}

# go_forward: past the commit point; ends the deployment, or says no.
go_forward() {
    profile_moved && may_commit && [ ! -e "$dir/back" ] && ! is_marked undone || return 1
    ! machine_stopping || commit_limit=20
    if finish_commit; then
        clean_up
        return 0
    fi
    # Once; from here it rolls back, whoever dies.
    printf '' >"$dir/back"
    return 1
}

# boot_side_back: by the commit table. In $boot: kept, where it is as before; theirs, where somebody else has moved it, and it stays; broken.
boot_side_back() {
    boot=kept
    if boot_is_theirs; then boot=theirs; fi
    case $boot:$phase in
    theirs:* | kept:activating | kept:settling | kept:window | kept:confirmed) return 0 ;;
    esac
    # At a shutdown every start would be refused: the boot side only, so that the machine comes up with the right system.
    ! machine_stopping || set -- 20
    boot_back "${1:-$commit_limit}" || boot=broken
    if boot_is_theirs; then boot=theirs; fi
}

# secrets_back: before the way back, which starts what reads them. In $secrets_left whether some could not be put back. Those of a system that was
# confirmed stay with it where it stays live.
secrets_back() {
    secrets_left=no
    [ -d "$var_dir/secrets.open" ] || return 0
    [ "$boot:$mode" != theirs:test ] || ! was_confirmed || [ -s "$dir/rung" ] || return 0
    # Of whatever was there before.
    planned_paths "[pr][a-z]*.file" >"$dir/secrets-before"
    change_of_secrets back || {
        secrets_left=yes
        missing_secrets >"$dir/secrets-missing"
    }
    # What was restarted now was made by the new system, too.
    [ -s "$dir/rung" ] || note_invocations "$dir/invocations-new"
}

# missing_secrets: of those that were there before.
missing_secrets() {
    local path
    while IFS= read -r path; do
        [ -e "$path" ] || [ -L "$path" ] || printf '%s\n' "$path"
    done <"$dir/secrets-before"
}

# secrets_back_again: after the way back, which has mounted what the new system had not. Units are restarted with them then, so they are looked at
# once more.
secrets_back_again() {
    [ "$secrets_left" = yes ] && [ -s "$dir/rung" ] && [ -d "$var_dir/secrets.open" ] && change_of_secrets back || return 0
    secrets_left=no
    note "the secrets that could not be put back were put back after the way back"
    verified=no
    if verify_previous && wake_logind; then verified=yes; fi
}

# secrets_stay: after the way back, whose activation removes what the new system's has copied there (environment.etc with a mode). What was missing
# before it was told then.
secrets_stay() {
    local missing path
    [ -e "$dir/secrets-before" ] || return 0
    missing=$(missing_secrets)
    [ -n "$missing" ] || return 0
    secrets_left=yes
    printf '%s\n' "$missing" | while IFS= read -r path; do
        grep -q -s -F -x -e "$path" "$dir/secrets-missing" ||
            note "the secret at $path, which was put back, is not there any more: the activation of the previous system or somebody else has removed it; deploy it again"
    done
}

# was_confirmed: from then on what is live was reached from outside.
was_confirmed() { case $phase in activating | settling | window) return 1 ;; esac; }

end_at_shutdown() {
    note "the host was shutting down"
    [ "$secrets_left" != yes ] || note "not all secrets could be put back; the boot tries it again"
    if boot_is_theirs; then boot=theirs; fi
    case $boot in
    theirs) end_as_superseded ;;
    broken) end_as commit-failed ;;
    *) end_as interrupted ;;
    esac
}

end_as_superseded() {
    note "somebody else has switched the host meanwhile: it runs $(live_system) and boots $(boot_default)"
    end_as superseded
}

# only_secrets_went_back: where nothing was activated, nothing has to be; units that have failed with the new secrets are started again.
only_secrets_went_back() {
    [ "$only_secrets" = yes ] && [ "$(live_system)" = "$previous_live" ] || return 1
    way=none
    begin_ways
    units_are_read=yes
    printf '' >"$dir/not-reloaded"
    forget_failures
    wait_for_jobs
    verify_previous && verified=yes
}

# undo_live: to the system that ran. What somebody else made live stays, and so does what was confirmed where the boot default is theirs.
undo_live() {
    verified=no
    if [ "$mode" = boot ]; then
        # Nothing was activated.
        verified=yes
    elif [ "$boot" = theirs ] && was_confirmed && [ ! -s "$dir/rung" ]; then
        end_as_superseded
        return
    else
        only_secrets_went_back || go_back
        case $way in
        soft-reboot) return 75 ;;
        shutdown)
            end_at_shutdown
            return
            ;;
        esac
    fi
    [ "$mode" = boot ] || {
        secrets_back_again
        secrets_stay
    }
    # The last look, directly before the line.
    if boot_is_theirs; then boot=theirs; fi
    if [ "$mode" != boot ] && live_is_theirs; then
        end_as_superseded
    elif [ "$boot" = broken ]; then
        [ "$verified" = yes ] || note "the previous system could not be made live again: $complaint"
        end_as commit-failed
    elif [ "$verified" = no ] || [ "$secrets_left" = yes ]; then
        [ "$verified" = yes ] || note "the previous system could not be made live again: $complaint"
        failed_units >"$dir/failed"
        unit_journals <"$dir/failed" >"$dir/journal"
        end_as rollback-failed
    elif [ "$boot" = theirs ]; then
        [ "$mode" = boot ] || note "what was tried was not confirmed, so the host runs again what it ran before"
        end_as_superseded
    else
        end_as rolled-back
    fi
}
