# Watching the units of a system that was just activated, before anybody looks at them.
# inputs: settle_limit settles_early
# needs: process units
# shellcheck shell=sh

# watch_units: for as long as was asked for; where nobody has, until they are quiet, and no longer than that.
watch_units() {
    [ "$settle_limit" != 0 ] || return 0
    hundredths
    watched_from=$now
    [ "$settles_early" = yes ] || {
        pause "$settle_limit"
        return
    }
    pause 1
    until quiet; do
        hundredths
        [ "$now" -lt $((watched_from + settle_limit * 100)) ] || return 0
        pause 0.25
    done
}

# watched_long_enough: before the last look. What took a second to be quiet may end soon after it: two have to be over.
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

# quiet: no job waits, and each service has been as it is for a second: none starts, stops, reloads or waits to be started again.
quiet() {
    ask_systemd show -p NJobs && [ "$told" = NJobs=0 ] || return 1
    ask_systemd show -p SubState -p StateChangeTimestampMonotonic -- '*.service' || return 1
    hundredths
    each_first_word steady "$told"
}

steady() {
    local changed
    case $1 in
    StateChangeTimestampMonotonic=*)
        # In microseconds; of what never changed it is 0.
        changed=${1#*=}
        changed=${changed%????}
        [ $((now - ${changed:-0})) -ge 100 ]
        ;;
    SubState=running | SubState=exited | SubState=dead | SubState=failed) ;;
    SubState=*) return 1 ;;
    esac
}

# hundredths: of a second since the boot, in $now.
hundredths() { read -r now _ </proc/uptime && now=${now%.*}${now#*.}; }
