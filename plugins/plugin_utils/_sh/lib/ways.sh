# What all ways back have in common.
# inputs: rollback_limit
# sets: rounds
# needs: base lines process units whose
# shellcheck shell=sh

live_is_ours() { ! live_is_theirs; }

# begin_ways: how long all ways may take, the controller counts on (`Limits.undo`). An undo that is killed begins with none of it again, and yet
# whoever comes after it tries each way once.
begin_ways() {
    read_line "$dir/ways-rounds"
    is_number "$line" || line=0
    rounds=$line
    read_line "$dir/ways-until"
    all_until=$line
    is_number "$all_until" || {
        clock
        all_until=$((uptime + 3 * rollback_limit + 120))
        keep ways-until "$all_until"
    }
}

# keep NAME NUMBER: where it cannot be written, the way back is as good.
keep() { { printf '%s\n' "$2" >"$dir/$1.new"; } 2>/dev/null && mv -f "$dir/$1.new" "$dir/$1" || :; }

is_number() { case $1 in '' | *[!0-9]*) return 1 ;; esac; }

# forget_failures: what has failed while the new system was live is no fault of the previous one, which may have the unit as well and not start it.
# What fails once more counts.
forget_failures() {
    local name
    failed_units >"$dir/failed-all" || return 0
    lines_without "$dir/failed-before" <"$dir/failed-all" | while read -r name; do sc reset-failed -- "$name" 2>/dev/null; done
}
