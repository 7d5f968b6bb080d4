# The health policy: what must hold before a system is tried, and after.
# inputs: health_limit policy ignore_units
# needs: base complain lines process restarts units
# shellcheck shell=sh

# not_ignored: filters a list of units by the operator's list of shell patterns, one a line.
not_ignored() {
    local failed ignored pattern
    while read -r failed; do
        ignored=no
        while read -r pattern; do
            # Also as it is, since a backslash in a unit's name would mean something else in a pattern.
            [ "$failed" != "$pattern" ] || ignored=yes
            # shellcheck disable=SC2254 # a pattern is meant
            case $failed in $pattern) ignored=yes ;; esac
        done <<END
$ignore_units
END
        [ "$ignored" = yes ] || printf '%s\n' "$failed"
    done
}

# still_starting: what holds it up, where systemd says.
still_starting() { sc list-jobs --plain --no-legend --full 2>/dev/null | awk 'NR <= 10 { jobs = jobs " " $2 } END { if (jobs) print "; still starting:" jobs }'; }

# ready: whether the host is in a state to try anything on; complains where not. Notes which units have failed before.
ready() {
    local how manager restarts service
    manager=$(timeout -k 5 "$health_limit" systemctl is-system-running --wait 2>/dev/null) || :
    printf '' >"$dir/failed"
    printf '' >"$dir/failed-before"
    # Running means that none has.
    [ "$manager" = running ] || failed_units >"$dir/failed-before" || { complain no-answer-from-systemd "systemd does not say which units have failed"; return; }
    note_restarts "$dir/restarts-before" || return
    # The manager knows nothing of those that fail again and again.
    while read -r service restarts how; do
        [ "$how" != failing ] || printf '%s\n' "$service"
    done <"$dir/restarts-before" >>"$dir/failed-before"
    case $policy:$manager in no_new_failures:running | no_new_failures:degraded) return 0 ;; esac
    not_ignored <"$dir/failed-before" >"$dir/failed"
    if [ "$manager" != running ] && [ "$manager" != degraded ]; then
        complain not-up "the host is not up: systemctl is-system-running says ${manager:-nothing} after $health_limit s$(still_starting)"
    elif [ -s "$dir/failed" ]; then
        complain units-failed-before "units have failed already: $(tr '\n' ' ' <"$dir/failed")"
    fi
}

# restarting: the services that systemd starts again and again, one a line, with "forgiven" behind those that did so before the
# deployment, and "once" behind those of which a later look has to tell: one that ends once, be it because what it needs was started
# after it, is in no loop. Between a failure and the next start a service has not failed; so a look at any one moment may find it well.
restarting() {
    local since
    since=$dir/restarts
    # Without a note from the end of `test` only what waits to be started again is known.
    [ -e "$since" ] || since=$dir/restarts.now
    # One that ends well, to be started again after a while, is meant so, if it was the same before. Of one that was only started
    # again shortly before, that is known as long as nobody else has started it since, whereby the count begins again. One that was
    # started again once, and has been up since then for long enough, is well.
    awk -v policy="$policy" '
        part == 1 { before[$1] = $2; was[$1] = $3 }
        part == 2 { since[$1] = $2 }
        part == 3 {
            grown = $2 - since[$1]
            if ($3 == "terminal" ? grown <= 4 : grown <= 0 && $3 != "failing" && $3 != "recurring") next
            lately = was[$1] == "lately" || was[$1] == "just"
            same = was[$1] == "recurring" || (lately && since[$1] >= before[$1])
            if (same && ($3 != "failing" || policy == "no_new_failures")) print $1, "forgiven"
            else if (grown > 1 || $3 == "failing") print $1
            else if ($3 == "just" || $3 == "recurring") print $1, "once"
        }' part=1 "$dir/restarts-before" part=2 "$since" part=3 "$dir/restarts.now"
}

# not_forgiven: filters a list of units by the policy, and by the operator's list.
not_forgiven() {
    if [ "$policy" = no_new_failures ]; then not_ignored | lines_without "$dir/failed-before"; else not_ignored; fi
}

# healthy: whether the new system is well; complains where not.
healthy() {
    local forgiven looks service
    looks=0
    while :; do
        [ "${just_noted-}" = yes ] || note_restarts "$dir/restarts.now" || return
        just_noted=no
        restarting >"$dir/restarting" || { complain cannot-record "could not write $dir/restarting"; return; }
        looks=$((looks + 1))
        grep -q ' once$' "$dir/restarting" && [ "$looks" -lt 20 ] || break
        pause 1
    done
    failed_units >"$dir/failed.all" || { complain no-answer-from-systemd "systemd does not say which units have failed"; return; }
    not_forgiven <"$dir/failed.all" >"$dir/failed"
    while read -r service forgiven; do
        printf '%s\n' "$service" >>"$dir/failed.all"
        [ "$forgiven" = forgiven ] || printf '%s\n' "$service"
    done <"$dir/restarting" >"$dir/failed.new"
    not_forgiven <"$dir/failed.new" >"$dir/again"
    complaint=
    [ ! -s "$dir/failed" ] || complaint="units have failed: $(paste -s -d ' ' "$dir/failed")"
    if [ -s "$dir/again" ]; then
        complaint="$complaint${complaint:+, and }services end and are started again and again: $(paste -s -d ' ' "$dir/again")"
        cat "$dir/again" >>"$dir/failed"
    fi
    [ -z "$complaint" ] || complain units-failed "$complaint"
}

# still_healthy: the same directly before the commit, since units may have failed after the system had settled.
still_healthy() { healthy || { complain "$code" "$complaint, after the new system had settled"; return; }; }
