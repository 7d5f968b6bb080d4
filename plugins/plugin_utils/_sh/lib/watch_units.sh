# Watching the units of a system that was just activated, before anybody looks at them.
# inputs: settle_limit settles_early
# needs: base each_first_word process restarts units
# shellcheck shell=sh

# watch_units: directly after they were noted in $dir/restarts, for as long as was asked for; where nobody has, until units are quiet, and no
# longer than that. In $just_noted whether $dir/restarts.now says how they are at its end, so that nobody asks systemd again at once.
watch_units() {
    local earlier
    just_noted=no
    [ "$settle_limit" != 0 ] || {
        ! cp "$dir/restarts" "$dir/restarts.now" 2>/dev/null || just_noted=yes
        return 0
    }
    earlier=$told
    hundredths
    watched_from=$now
    [ "$settles_early" = yes ] || {
        pause "$settle_limit"
        return
    }
    while pause 1 && ! quiet_since "$earlier"; do
        earlier=$told
        hundredths
        [ "$now" -lt $((watched_from + settle_limit * 100)) ] || return 0
    done
}

# watched_long_enough: before the last look. What was quiet for a second may end soon after it: two have to be over.
watched_long_enough() {
    local left
    [ "$settles_early" = yes ] && [ -n "${watched_from-}" ] || return 0
    hundredths
    left=$((watched_from + 200 - now))
    [ "$left" -gt 0 ] || return 0
    # With two digits behind the point.
    left=$((left + 1000))
    left=${left#1}
    pause "${left%??}.${left#?}"
}

# quiet_since EARLIER: no job waits; no service has changed since systemd said that, none has been started again; and none starts,
# stops, reloads or waits to be started again. What it says now is in $told; of what it does not say nobody knows.
quiet_since() {
    ask_systemd show -p NJobs && [ "$told" = NJobs=0 ] || {
        told=
        return 1
    }
    note_restarts "$dir/restarts.now" && [ "$told" = "$1" ] && each_first_word steady "$told" && just_noted=yes
}

steady() {
    case $1 in
    SubState=running | SubState=exited | SubState=dead | SubState=failed) ;;
    SubState=*) return 1 ;;
    esac
}

# hundredths: of a second since the boot, in $now.
hundredths() { read -r now _ </proc/uptime && now=${now%.*}${now#*.}; }
