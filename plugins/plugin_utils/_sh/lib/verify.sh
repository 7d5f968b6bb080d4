# Whether the system that ran runs again, whole, and nothing of the new one.
# inputs: over_ssh
# needs: base complain directory each_first_word invocations lines manager previous_live process tools unit_changes units
# shellcheck shell=sh

# verify_previous: complains of what is not.
verify_previous() {
    local tries
    previous_is_live || return
    # Its units may all be there again one by one: in rescue the host has not come up, and no deployment could begin.
    ! in_emergency || { complain not-live "the host is in rescue or emergency mode"; return; }
    # What is started before that is the new system's, whatever it is called.
    [ "$units_are_read" = yes ] || { complain not-live "systemd could not read the units of the previous system"; return; }
    tries=0
    # What is still being started may yet fail; but it may also take its time.
    until units_are_as_before && { [ ! -s "$dir/starting" ] || [ "$tries" -ge 9 ]; }; do
        tries=$((tries + 1))
        [ "$tries" -lt 10 ] && ! no_answer_in_time || return 1
        mend_units
        pause 0.5
    done
    [ "$over_ssh" = no ] || ! ssh_unit_in "$dir/active" || ssh_is_up || complain unreachable "no ssh unit is active"
}

# no_answer_in_time: one look at a systemd that does not answer takes half a minute.
no_answer_in_time() { [ "${code-}" = no-answer-from-systemd ] && [ -n "$all_until" ] && is_over "$all_until"; }

# ssh_unit_in FILE: - is standard input.
ssh_unit_in() { grep -q -E '^sshd?\.(service|socket)$' "$1"; }

is_ssh_unit() { case $1 in ssh.service | ssh.socket | sshd.service | sshd.socket) return 0 ;; *) return 1 ;; esac; }

# ssh_is_up: one that is still being started has half a minute for it. 2 where systemd does not say. It needs no room on /run.
ssh_is_up() {
    local listed tries
    tries=0
    while :; do
        listed=$(wanted_units active,reloading) || return 2
        ! printf '%s\n' "$listed" | ssh_unit_in - || return 0
        tries=$((tries + 1))
        listed=$(wanted_units activating) || return 2
        printf '%s\n' "$listed" | ssh_unit_in - && [ "$tries" -lt 60 ] || return 1
        pause 0.5
    done
}

# units_are_as_before: leaves lists of those that are not. Where systemd does not answer nobody knows, and the lists are empty.
units_are_as_before() {
    local list
    for list in missing failed-now only-new changed; do printf '' >"$dir/$list"; done
    { wanted_units active,activating,reloading >"$dir/active-now" && failed_units >"$dir/failed-all" &&
        wanted_units activating >"$dir/starting.all" && wanted_units auto-restart,auto-restart-queued >"$dir/restarting-now"; } ||
        { complain no-answer-from-systemd "systemd does not answer"; return; }
    list_differences || { complain no-answer-from-systemd "nobody could look which units are as before"; return; }
    set -- "$dir/missing" "$dir/failed-now" "$dir/only-new" "$dir/changed" "$dir/not-reloaded" "$dir/not-stopped"
    for list in "$@"; do [ ! -s "$list" ] || { complain units-failed "units are not as before: $(cat "$@" 2>/dev/null | sort -u | tr '\n' ' ')"; return; }; done
    [ "${reloads_are_noted-yes}" = yes ] || complain units-failed "nobody could note which units were not reloaded for the previous system"
}

# list_differences: no, where a list is not whole.
list_differences() {
    local ask_until name
    # One that fails again and again is activating, too.
    lines_without "$dir/restarting-now" <"$dir/active-now" >"$dir/up" && lines_without "$dir/up" <"$dir/active" >"$dir/down" &&
        not_mounted_otherwise <"$dir/down" >"$dir/missing-all" && lines_without "$dir/failed-before" <"$dir/failed-all" >"$dir/failed-new" || return 1
    deadline 60
    ask_until=$deadline
    while read -r name; do
        ! is_over "$ask_until" && ended_by_itself "$name" || printf '%s\n' "$name" || return 1
    done <"$dir/missing-all" >"$dir/missing"
    grep -F -x -f "$dir/active" "$dir/starting.all" >"$dir/starting" || [ "$?" = 1 ] || return 1
    while read -r name; do
        is_for_a_connection "$name" || printf '%s\n' "$name" || return 1
    done <"$dir/failed-new" >"$dir/failed-now"
    list_only_new && list_changed
}

# not_mounted_otherwise: filters a list of units that are not up. Who looks into a directory finds the same, whether it is mounted or will be then.
not_mounted_otherwise() {
    awk -v list="$dir/up" 'BEGIN { while ((getline name <list) > 0) up[name] }
        { other = $0 }
        sub(/\.automount$/, ".mount", other) || sub(/\.mount$/, ".automount", other) { if (other in up) next }
        { print }'
}

mend_units() {
    local mend_until service
    # Where systemd does not answer, each takes half a minute.
    deadline 120
    mend_until=$deadline
    # What only the new system has may be what keeps everybody out.
    end_new_automounts
    while read -r service && ! is_over "$mend_until"; do sc stop --no-block -- "$service" 2>/dev/null; done <"$dir/only-new"
    while read -r service && ! is_over "$mend_until"; do
        # Without the way in, nothing is as before.
        if ! is_ssh_unit "$service" && gone "$service"; then
            # It was transient.
            grep -F -x -v -e "$service" "$dir/active" >"$dir/active.new" || [ "$?" = 1 ] && mv -f "$dir/active.new" "$dir/active"
        elif ended_by_itself "$service"; then
            # Nobody had the time to ask.
            :
        else
            sc reset-failed -- "$service" 2>/dev/null
            sc start --no-block -- "$service" 2>/dev/null
        fi
    done <"$dir/missing"
    while read -r service && ! is_over "$mend_until"; do
        # No socket can be started while its service runs.
        # shellcheck disable=SC2046 # words
        case $service in *.socket) sc stop -- $(sc show -p Triggers --value -- "$service" 2>/dev/null) 2>/dev/null ;; esac
        # None can be started without a connection.
        if is_for_a_connection "$service"; then
            sc stop --no-block -- "$service" 2>/dev/null
            continue
        fi
        sc restart --no-block -- "$service" 2>/dev/null
    done <"$dir/changed"
    # A unit that only the new system had is history, not a fault of the previous one.
    while read -r service && ! is_over "$mend_until"; do ! gone "$service" || sc reset-failed -- "$service" 2>/dev/null; done <"$dir/failed-now"
}

# gone UNIT: whether there is no such unit any more. No answer is not a no: systemd may be about to execute itself again.
gone() {
    case $(sc show -p LoadState --value -- "$1" 2>/dev/null) in
    not-found | masked) return 0 ;;
    *) return 1 ;;
    esac
}

# is_for_a_connection UNIT: whether a socket starts it for each connection (Accept=yes), and it ends with that.
is_for_a_connection() {
    case $1 in *@*.service) [ "$(sc show -p Accept --value -- "${1%%@*}.socket" 2>/dev/null)" = yes ] ;; *) return 1 ;; esac
}

# ended_by_itself UNIT: whether it has done what it was started for, and nothing wants it to be up: a job of a timer, say. Who is stopped ceases to be
# active first, and its process ends then.
ended_by_itself() {
    case $1 in *.service) ;; *) return 1 ;; esac
    ! is_for_a_connection "$1" || return 0
    told=$(sc show -p ActiveState -p Result -p RemainAfterExit -p TriggeredBy -p WantedBy -p RequiredBy -p UpheldBy -p BoundBy -p InvocationID \
        -p ExecMainExitTimestampMonotonic -p ActiveExitTimestampMonotonic -- "$1" 2>/dev/null) || return 1
    amiss=no is_triggered=no its_run=none process_ended=0 was_active=0
    each_first_word note_end "$told"
    [ "$amiss" = no ] && [ "$process_ended" -gt 0 ] && [ $((was_active - process_ended)) -ge 0 ] && [ $((was_active - process_ended)) -lt 1000000 ] ||
        return 1
    # Else it may have been started anew, and something else of it.
    [ "$is_triggered" = yes ] || grep -q -F -e "invocation:$1 -> $its_run" "$dir/invocations"
}

# note_end NAME=VALUE: of what ended_by_itself has asked.
note_end() {
    case $1 in
    ActiveState=inactive | Result=success | RemainAfterExit=no) ;;
    *=) ;;
    ActiveState=* | Result=* | RemainAfterExit=* | WantedBy=* | RequiredBy=* | UpheldBy=* | BoundBy=*) amiss=yes ;;
    TriggeredBy=*) is_triggered=yes ;;
    InvocationID=*) its_run=${1#*=} ;;
    ExecMainExitTimestampMonotonic=*) process_ended=${1#*=} ;;
    ActiveExitTimestampMonotonic=*) was_active=${1#*=} ;;
    esac
}

# wake_logind: without an answer from logind every login and every sudo hangs. It may be active and yet have lost its connection.
wake_logind() {
    grep -q -F -x systemd-logind.service "$dir/active" && tool loginctl >/dev/null || return 0
    timeout -k 5 15 loginctl --no-pager list-users >/dev/null 2>&1 9>&- && return 0
    sc restart systemd-logind.service
    timeout -k 5 15 loginctl --no-pager list-users >/dev/null 2>&1 9>&- || note "logind does not answer, so logins may hang"
    # It took its time.
    verify_previous
}
