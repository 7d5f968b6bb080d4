# The output of switch-to-configuration and of checks: what was printed last, however much that is. The log is bounded, since a program
# may print without end; and a reader that is gone ends nobody, since this shell holds both ends of the pipe.
# facts: dir
# needs: process
# shellcheck shell=sh

# open_log NAME: descriptor 7 becomes this log of the directory. Where no pipe can be made, it is the file itself.
open_log() {
    exec 7>&-
    log_file=$dir/$1
    log_marks=0
    # Taken away where something is lost; that can be done where nothing can be written.
    [ -e "$log_file" ] || printf '' >"$log_file.whole"
    printf '' >>"$log_file"
    if [ -p "$log_file.pipe" ] || mkfifo -m 0600 "$log_file.pipe" 2>/dev/null; then
        exec 7<>"$log_file.pipe"
        log_reader=none
        read_log
    else
        exec 7>>"$log_file"
        # Nobody sees what has no room.
        rm -f "$log_file.whole"
        log_reader=
    fi
}

# read_log: somebody must read, or whoever writes waits for ever when the pipe is full.
read_log() {
    # A process that has ended and that nobody has waited for has no program any more.
    [ -n "$log_reader" ] && [ ! -e "/proc/$log_reader/exe" ] || return 0
    # Whoever has killed it may have killed what it had read.
    [ "$log_reader" = none ] || rm -f "$log_file.whole"
    keep_log <"$log_file.pipe" >&2 7>&- 8>&- 9>&- &
    log_reader=$!
}

# keep_log: standard input, as soon as it comes, in two files that take turns. What has no room is lost, and reading goes on.
keep_log() {
    local before dd_status size
    before=$(stat -c %s "$log_file")
    while :; do
        # What it has read it writes at once.
        dd bs=16384 count=16 >>"$log_file" 2>/dev/null
        dd_status=$?
        # There is no room; one that was killed has done no harm, but for what it had read.
        [ "$dd_status" = 0 ] || rm -f "$log_file.whole"
        [ "$dd_status" != 1 ] || printf '' >"$log_file"
        # The directory is gone, or all that could write are.
        size=$(stat -c %s "$log_file" 2>/dev/null) || return 0
        [ "$dd_status" != 0 ] || [ "$size" != "$before" ] || return 0
        before=$size
        [ "$size" -lt 262144 ] || {
            keep_reasons
            mv -f "$log_file" "$log_file.before" && printf '' >"$log_file" && before=0
        }
    done
}

# keep_reasons: of the file that is about to go those lines by which one sees what has failed, however much is printed behind them. Its last one
# may end in the file that follows it. Only then, since it takes more time than to read.
keep_reasons() {
    local kept
    [ -e "$log_file.before" ] || return 0
    kept=0
    [ ! -s "$log_file.reasons" ] || kept=$(stat -c %s "$log_file.reasons") || kept=0
    [ "$kept" -lt 65536 ] || {
        rm -f "$log_file.whole"
        return 0
    }
    head -n 1 "$log_file" | cat "$log_file.before" - | reasons >>"$log_file.reasons" || rm -f "$log_file.whole"
}

# reasons: those lines of standard input.
reasons() {
    tr -d '\000' | LC_ALL=C grep -E ${error_pattern:+-e "$error_pattern" -e '^--- (de)?activation of '} -e '^--- switch-to-config' -e 'Activation script snippet .* failed|Failed to run activate script|^Failed to |^Error: |Pre-switch check' \
        -e 'activating the config|restarting (systemd\.|sysinit-react)|reloading user units|setting up tmpfiles|warning: user activation' \
        -e '^warning: the following units|^(A dependency j|J)ob for |^Assertion failed on job|^Queued job for | is not active, cannot reload' \
        -e '^(Operation on or unit type of|Cannot perform operation on) |^Unit .* was started already once' \
        -e '^(activating|restarting|reloading|starting|setting up) |^the following new units|^Could not |^Unable to list users|^This is not a NixOS' |
        cut -b 1-4000
}

# reap_logged: what a command has left is ended, and with it who reads the log, since nothing tells them apart.
reap_logged() {
    reap
    [ -z "$log_reader" ] || log_reader=none
    read_log
}

# logged SECONDS COMMAND…: limited, with what it prints in the log, and nothing to read. Whoever has repaired an earlier deployment has ended the
# reader with all that it had started.
logged() {
    read_log
    limited "$@" >&7 2>&1 </dev/null 7>&-
}

# log_mark TEXT: of our own. What was printed before it may lack the end of its line.
log_mark() { printf '\n--- %s\n' "$1" >&7; }

# log_line TEXT: and waits a moment, until what was printed before it can be read; no, where that takes too long.
log_line() {
    local mark tries
    read_log
    log_marks=$((log_marks + 1))
    mark="$1 [$$.$log_marks]"
    log_mark "$mark"
    [ -n "$log_reader" ] || return 0
    tries=0
    until log_end | grep -q -F -x -e "--- $mark" || [ "$tries" -ge 20 ]; do
        tries=$((tries + 1))
        sleep 0.05
    done
    [ "$tries" -lt 20 ]
}

# log_end: the last of it, without what a mark has before it; a line may be as long as the log.
log_end() { whole_log | tail -c 16384 | sed -e '$!{' -e '/^$/{' -e 'N;s/^\n--- /--- /;P;D' -e '}' -e '}' | tail -n 40; }

# log_for_people: the last of it, and before that what one sees of the reasons where they are not among it; of an activation that failed first.
log_for_people() {
    {
        cat "$log_file.reasons" 2>/dev/null
        whole_log | reasons
        echo "---"
        log_end
    } | awk '
        end { if ($0 in reason) reason[$0] = "shown"; next }
        $0 == "---" { end = 1; next }
        /^(--- |activating|restarting|reloading|starting|setting up|the following new units)/ || $0 in reason { next }
        /(activating the configuration|restarting systemd|reloading user units for .*)\.\.\.$/ { next }
        /(restarting sysinit-reactivation\.target|setting up tmpfiles)$/ { next }
        { reason[$0] = ""; names[++count] = $0 }
        END {
            for (turn = 1; turn <= 2; turn++)
                for (i = 1; i <= count; i++)
                    if (reason[names[i]] == "" && (turn == 1) == (names[i] ~ /Activation script snippet .* failed|Failed to run activate script/) && shown++ < 10)
                        print substr(names[i], 1, 400)
            if (shown) print "…"
        }'
    log_end
}

# log_turn: tells one turn of its files from the next.
log_turn() { stat -c %i "$log_file" 2>/dev/null && stat -c %s "$log_file.reasons" 2>/dev/null; }

whole_log() { cat "$log_file.before" "$log_file" 2>/dev/null; }

# last_words: what a program printed last, on one line.
last_words() { log_end | grep -v '^--- ' | tail -n 3 | tr '\n' ' '; }
