# Activating a generation of a profile. It may have failed though it has ended well: what it said tells.
# needs: base ended kind log
# shellcheck shell=sh

# Nobody else has a lock while a profile is activated, but for deploy-flake.service.
switch_lock=$run_dir/no-lock

lock_held() { return 1; }

# switch_to LIMIT GENERATION ACTION LOOK: as for a system; there is no other action than to activate it. The status is in $switch_status.
switch_to() {
    "$4" || { switch_status=$taken && return "$taken"; }
    read_log
    log_mark "activation of $2"
    log_line "$3"
    activate_generation "$1" "$2"
    judge "$1"
}

# judge LIMIT: how a call of the program has gone that ended with $status: in $switch_status. Where only its log tells that, all of it has to be there.
judge() {
    switch_status=$status
    [ "$switch_status" = 0 ] || reap_logged
    log_line "it $(ended "$switch_status" "$1")" && [ -e "$log_file.whole" ] || [ "$switch_status" != 0 ] || [ -z "$error_pattern" ] || {
        switch_status=1
        log_mark "what it has said, which alone tells whether it has failed, could not be kept whole"
    }
    [ "$switch_status" != 0 ] || [ -z "$(errors_said)" ] || switch_status=1
    return "$switch_status"
}

# errors_said: of the last call. What its log had no room for has left its errors (`reasons`).
errors_said() {
    [ -n "$error_pattern" ] || return 0
    { cat "$log_file.reasons" 2>/dev/null; whole_log; } | awk '/^--- (de)?activation of / { said = ""; next } { said = said $0 "\n" } END { printf "%s", said }' |
        grep -E -e "$error_pattern"
}

# because: why it failed, in its own words, behind a sentence.
because() {
    local words
    words=$(errors_said | head -n 3 | paste -s -d ';' -)
    [ -n "$words" ] || words=$(last_words)
    [ -z "$words" ] || printf ': %s' "$words" | cut -c 1-600
}
