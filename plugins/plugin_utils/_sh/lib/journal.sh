# What the journal has of units.
# needs: base
# shellcheck shell=sh

# unit_journals: the last lines of the units in a list, for the report, and of each line what it begins with: the journal takes 48 KiB for one.
unit_journals() {
    local failed said since
    # What a unit printed comes to the journal later than what systemd says of its end. A journald that does not answer is not waited for.
    timeout -k 1 2 journalctl --sync >/dev/null 2>&1
    since=
    # Not what it has said of an earlier failure. In seconds since the boot, since somebody may set the clock; whole ones, so it may be one too late.
    if [ -s "${dir-/nonexistent}/began" ]; then
        read_line "$dir/began"
        clock
        since=--since=@$(($(date +%s) - uptime + line - 1))
    fi
    while read -r failed; do
        timeout -k 5 10 journalctl --no-pager -q -o cat -n 6 ${since:+"$since"} -u "$failed" 2>/dev/null | cut -b 1-600 | while IFS= read -r said; do printf '%s: %s\n' "$failed" "$said"; done
    done | tail -n 40
}
