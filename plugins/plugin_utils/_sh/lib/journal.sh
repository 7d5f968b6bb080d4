# What the journal has of units.
# needs: base
# shellcheck shell=sh

# unit_journals: the last lines of the units in a list, for the report, and of each line what it begins with: the journal takes 48 KiB for one.
unit_journals() {
    local began by_clock failed said since
    # What a unit printed comes to the journal later than what systemd says of its end. A journald that does not answer is not waited for.
    timeout -k 1 2 journalctl --sync >/dev/null 2>&1
    since=
    # Not what it has said of an earlier failure. Where somebody has set the clock meanwhile, what was said before that has the time of the old one,
    # and what was said behind it the one of the new: from the earlier of both on. In whole seconds, so it may be one too late.
    if [ -s "${dir-/nonexistent}/began" ]; then
        read -r began by_clock <"$dir/began" || :
        clock
        since=$(($(date +%s) - uptime + began))
        [ "${by_clock:-$since}" -ge "$since" ] || since=$by_clock
        since=--since=@$((since - 1))
    fi
    while read -r failed; do
        timeout -k 5 10 journalctl --no-pager -q -o cat -n 6 ${since:+"$since"} -u "$failed" 2>/dev/null | cut -b 1-600 | while IFS= read -r said; do printf '%s: %s\n' "$failed" "$said"; done
    done | tail -n 40
}
