# What the boot default was made from, as far as it is known here.
# needs: base profile revision
# shellcheck shell=sh

# answer_last_committed: the source as the last deployment that committed the boot default has recorded it, as the beginning of its line; or
# the revision that the boot default says of itself. A rollback records no source, but an earlier deployment of that system does.
answer_last_committed() {
    local default found
    default=$(boot_default)
    [ -n "$default" ] || return 0
    # A text in a record has no quote without a backslash.
    found=$(recorded_lines | awk -v to="\"to\": \"$default\", " '
        index($0, to) && /, "outcome": "committed", "started": "/ && /"(dirty_)?revision": "[^"]/ { found = $0 }
        END { sub(/, "outcome": "committed", "started": ".*/, "}", found); print found }')
    if [ -n "$found" ]; then
        answer committed_record "$found"
    else
        answer committed_revision "$(revision_of "$default")"
    fi
}
