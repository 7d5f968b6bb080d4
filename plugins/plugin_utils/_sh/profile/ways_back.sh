# The way back to the generation that ran: it is activated again. Before the first one there was nothing, and what was activated is taken away.
# inputs: rollback_limit
# facts: previous_live
# needs: base complain ends_in_a_boot kind live log manager process switch verify ways
# shellcheck shell=sh

# go_back: in $way the one that did it, or none, theirs, shutdown or soft-reboot; in $verified whether what ran before runs again.
go_back() {
    local tries
    begin_ways
    if live_is_ours; then forget_failures; fi
    way=none
    [ -n "$previous_live" ] || can_be_taken_away "$new_live" || {
        complain not-live "there was no generation before this one, and nothing takes it away: what it has activated stays"
        return
    }
    tries=0
    until bring_back; do
        tries=$((tries + 1))
        [ "$tries" -lt 4 ] && ! is_over "$all_until" || {
            way=none
            return
        }
        pause 2
    done
}

# bring_back: no, if it should be tried once more.
bring_back() {
    way='test'
    wait_for_jobs
    live_is_ours || {
        way=theirs
        return 0
    }
    printf '%s\n' "$way" >"$dir/rung"
    units_are_read=yes
    printf '' >"$dir/not-reloaded"
    if take_back && verify_previous; then
        verified=yes
        printf '' >"$dir/call"
        return 0
    fi
    if machine_stopping && ! ends_in_a_boot; then
        way=soft-reboot
        return 0
    fi
    [ "$switch_status" = 0 ] || complain not-live "the previous generation could not be activated: $(last_words)"
    return 1
}

# take_back: makes live what the profile names, or nothing where it names nothing.
take_back() {
    # One that did not end may have written what its program knows nothing of, and would leave.
    [ -e "$dir/activated" ] || know_all_of "$rollback_limit" "$new_live"
    if [ -n "$previous_live" ]; then
        switch_to "$rollback_limit" "$previous_live" test live_is_ours || return 1
    else
        status=1
        log_mark "deactivation of $new_live"
        deactivate_generation "$rollback_limit" "$new_live"
        judge "$rollback_limit" || return 1
    fi
    forget_live
}
