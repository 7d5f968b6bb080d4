# The health policy: what must hold before a system is tried, and after.
# inputs: health_limit policy ignore_units
# needs: complain units
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

# ready: whether the host is in a state to try anything on; complains where not. Notes which units have failed before.
ready() {
    local manager
    manager=$(timeout -k 5 "$health_limit" systemctl is-system-running --wait 2>/dev/null) || :
    : >"$dir/failed"
    : >"$dir/failed-before"
    # Running means that none has.
    [ "$manager" = running ] || failed_units >"$dir/failed-before" || { complain no-answer-from-systemd "systemd does not say which units have failed"; return; }
    case $policy:$manager in *:running | no_new_failures:degraded) return 0 ;; esac
    not_ignored <"$dir/failed-before" >"$dir/failed"
    if [ "$manager" != degraded ]; then
        complain not-up "the host is not up: systemctl is-system-running says ${manager:-nothing} after $health_limit s"
    elif [ -s "$dir/failed" ]; then
        complain units-failed-before "units have failed already: $(tr '\n' ' ' <"$dir/failed")"
    fi
}

# healthy STATUS: whether the new system is well; complains where not. The status is what `test` ended with.
healthy() {
    failed_units >"$dir/failed.all" || { complain no-answer-from-systemd "systemd does not say which units have failed"; return; }
    not_ignored <"$dir/failed.all" >"$dir/failed"
    if [ "$policy" = no_new_failures ]; then
        grep -F -x -v -f "$dir/failed-before" "$dir/failed" >"$dir/failed.new"
        mv -f "$dir/failed.new" "$dir/failed"
    fi
    [ ! -s "$dir/failed" ] || { complain units-failed "units have failed: $(tr '\n' ' ' <"$dir/failed")"; return; }
    # 4: units failed to start. Forgiven only if they are all on the lists that were taken out above.
    [ "$1" != 4 ] || [ -s "$dir/failed.all" ] ||
        complain units-failed "units failed to start while the system was activated (exit 4), though none is failed now"
}
