# Waiting for what somebody else writes.
# needs: base
# shellcheck shell=sh

# wait_for_line SECONDS FILE LINE…: until one of these lines is in the file, or somebody adds it; no, if there is none by then.
# In one go, since looking again and again would cost most where many hosts are busy. busybox's tail does not see that
# nobody reads any more, and takes no part of a second: there it ends at once, and the file is read again and again.
wait_for_line() {
    local its_tail lines_in wait_at_most wait_until
    wait_at_most=$1
    clock
    wait_until=$((uptime + wait_at_most))
    lines_in=$2
    shift 2
    {
        timeout -k 1 "$wait_at_most" tail -n +1 -s 0.2 -f "$lines_in" &
        echo "$!"
        wait "$!"
    } 2>/dev/null | {
        read -r its_tail
        # On a busy machine tail may have been faster than the line with its number.
        case " $* " in *" $its_tail "*) exit 0 ;; esac
        comes_along "$@" && { kill "$its_tail" 2>/dev/null || :; }
    } && return 0
    while clock && [ "$uptime" -lt "$wait_until" ] && [ -e "$lines_in" ]; do
        sleep 0.2
        comes_along "$@" <"$lines_in" && return 0
    done
    return 1
}

# comes_along LINE…: whether one of them does, on standard input.
comes_along() {
    local new_line
    while read -r new_line; do
        case " $* " in *" $new_line "*) return 0 ;; esac
    done
    return 1
}
