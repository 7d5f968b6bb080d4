# Waits until a deployment is in another state than the controller knows, and says which. `quiet`: for how long only an awaited
# state or the end is worth an answer.
# inputs: id known awaited patience quiet
# facts: tools
# needs: base live states wait_for_line
# shellcheck shell=sh

# content FILE: nothing if it is not there; then no process either.
content() { [ ! -s "$1" ] || cat "$1"; }

# The tools of the previous system: what the new one brings may be broken.
use_its_tools() {
    # shellcheck disable=SC1090,SC1091 # made by the supervisor
    [ ! -r "$run_dir/$id/facts" ] || . "$run_dir/$id/facts"
    PATH=${tools:-$PATH}
}

# begin: what every script about one deployment does first.
begin() {
    answer_begin
    use_its_tools
    require_root
    dir=$run_dir/$id
    answer id "$id"
}

# tell: waits for the end or for one of the awaited states, and says where the deployment stands.
tell() {
    wait_for_state
    if [ -e "$dir/settings" ] && ! is_final "$state"; then tell_state; else tell_end; fi
}

# wait_for_state: which it came to is in $state. Other news can wait until this has lasted a moment, since each answer costs
# another look. Starts as few processes as it can: many hosts may share a machine.
wait_for_state() {
    local deadline found news_from next_look
    clock
    deadline=$((uptime + patience))
    news_from=$((uptime + quiet))
    found=
    line=
    while [ -e "$dir/settings" ]; do
        read_line "$dir/state"
        if [ -n "$line" ] && [ "$line" != "$known" ]; then
            case " $awaited " in *" $line "*) break ;; esac
            ! is_final "$line" || break
            [ "$uptime" -lt "$news_from" ] || break
        fi
        [ "$uptime" -lt "$deadline" ] || break
        if [ "$uptime" -lt "$news_from" ]; then next_look=$((news_from - uptime)); else next_look=1; fi
        # What it finds a second time is of a state that has passed.
        # shellcheck disable=SC2086 # words
        { wait_for_line "$next_look" "$dir/states" $awaited $final_states && [ -z "$found" ]; } || sleep 0.1
        found=yes
        clock
    done
    state=$line
}

# tell_state: of a deployment that is open.
tell_state() {
    local ends
    answer state "$state"
    answer why_code "$(content "$dir/why_code")"
    answer why "$(content "$dir/why")"
    case " $awaited " in *" $state "*) ;; *) answer holder "$(sc show -p ActiveState --value "$unit")" ;; esac
    read_line "$dir/window"
    if [ -n "$line" ]; then
        ends=$line
        # Where a whole fleet is ready to commit.
        read_line "$dir/extended"
        clock
        answer window_left "$((ends + ${line:-0} - uptime))"
    fi
    answer mode "$([ -e "$dir/mode" ] && echo boot)"
}

# tell_end: the end is the end: the units are gone and the directory with them, so that nothing is left when the task returns.
tell_end() {
    local tries
    # What its line says of the host may be over, where it has ended in an earlier boot.
    [ -e "$dir/record" ] || {
        read_line /proc/sys/kernel/random/boot_id
        answer boot_id "$line"
        answer live "$(live_system)"
    }
    answer record "$(cat "$dir/record" 2>/dev/null || recorded_lines | grep -F "\"id\": \"$id\"" | tail -n 1)"
    # Tidying up takes a moment: 5 s at most, and first short ones.
    tries=0
    while [ -e "$dir/recorded" ] && [ "$tries" -lt 50 ]; do
        tries=$((tries + 1))
        if [ "$tries" -lt 5 ]; then sleep "0.0$tries"; else sleep 0.1; fi
    done
    answer state "${state:-unknown}"
}
