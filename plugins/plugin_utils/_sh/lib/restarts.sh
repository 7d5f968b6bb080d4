# Services that systemd starts again and again.
# needs: base complain each_first_word units
# shellcheck shell=sh

# note_restarts FILE: a line for each service: its name, how often systemd has started it again by itself, and how it is:
# "failing" or "recurring", for it has failed or has ended well, and waits to be started again; "just" or "lately", it was started again
# within ten seconds or five minutes; "terminal", one that ends whenever somebody logs out there; "steady".
note_restarts() {
    ask_systemd show -p Id -p NRestarts -p SubState -p Result -p StateChangeTimestampMonotonic -- '*.service' ||
        { complain no-answer-from-systemd "systemd does not say how often it has started services again"; return; }
    monotonic
    noted=yes
    service='' restarts='' sub_state='' result='' changed=''
    each_first_word note_property "$told" >"$1" && [ "$noted" = yes ] || complain cannot-record "could not write $1"
}

# monotonic: seconds since the boot in $counted, as systemd counts them: without those in which the host was suspended, as far as
# root asks.
monotonic() {
    clock
    counted=$uptime
    { read -r _ && read -r _ && read -r _ _ since_boot _; } 2>/dev/null </proc/timer_list || return 0
    # In nanoseconds.
    case $since_boot in *[!0-9]*) ;; ??????????*) counted=${since_boot%?????????} ;; esac
}

# note_property NAME=VALUE: systemd gives them in an order of its own; with the last one of a service its line is written.
note_property() {
    local how
    case $1 in
    Id=*) service=${1#*=} ;;
    NRestarts=*) restarts=${1#*=} ;;
    SubState=*) sub_state=${1#*=} ;;
    Result=*) result=${1#*=} ;;
    # In seconds.
    StateChangeTimestampMonotonic=*) changed=${1#*=} && changed=${changed%??????} && changed=${changed:-0} ;;
    esac
    [ -n "$service" ] && [ -n "$restarts" ] && [ -n "$sub_state" ] && [ -n "$result" ] && [ -n "$changed" ] || return 0
    how=steady
    case $sub_state:$result in
    auto-restart*:success) how=recurring ;;
    auto-restart*) how=failing ;;
    *)
        [ "$restarts" = 0 ] || [ $((counted - changed)) -gt 300 ] || how=lately
        [ "$how" = steady ] || [ $((counted - changed)) -ge 10 ] || how=just
        ;;
    esac
    case $service in getty@* | serial-getty@* | autovt@* | container-getty@* | console-getty.service) [ "$how" = failing ] || how=terminal ;; esac
    case $service in deploy-flake*) ;; *) printf '%s %s %s\n' "$service" "$restarts" "$how" || noted=no ;; esac
    service='' restarts='' sub_state='' result='' changed=''
}

# looping SECONDS [always]: those that are started again and again, one a line, with how: "failing" or "recurring" as in a note, or
# "again", for it was started again within these seconds. For that there is a second look; without the second word only where
# one was started again lately. With it, one that was started again once is given ten seconds more, and is well where it stays up.
looping() {
    local few first second
    first=$(note_restarts /dev/stdout) || return 1
    second=$first
    case ${2-}$first in
    always* | *" lately"* | *" just"*)
        sleep "$1"
        second=$(note_restarts /dev/stdout) || return 1
        ;;
    esac
    few=0
    if [ -n "${2-}" ] && found_again "$first" "$second" | grep -q -e ' again$' -e ' recurring$'; then
        few=1
        sleep 10
        second=$(note_restarts /dev/stdout) || return 1
    fi
    found_again "$first" "$second"
}

# found_again FIRST SECOND: of two looks; $few: how often a service may be started again in between.
found_again() {
    printf '%s\n' "$1" -- "$2" | awk -v few="$few" '
        $1 == "--" { later = 1; next }
        !later { before[$1] = $2; next }
        $3 == "failing" || $3 == "recurring" { print $1, $3; next }
        $1 in before && $2 > before[$1] + ($3 == "terminal" ? 4 : few) { print $1, "again" }'
}

# restarted: those of which it may be so, from one look, as in a note.
restarted() { note_restarts /dev/stdout | awk '$3 != "" && $3 != "steady" && $3 != "terminal" { print $1, $3 }'; }
