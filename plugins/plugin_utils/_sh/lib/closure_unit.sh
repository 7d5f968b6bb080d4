# The unit in which one end of a copy of a closure works, whoever is connected.
# needs: base closure free_space interpreter tools
# shellcheck shell=sh

# start_closure_unit DESCRIPTION: runs $program with the directory as its argument, and the values that come on standard input. When it
# ends, however it ends, nothing is left of the copy but what is in the store. Where memory runs out, it goes first.
start_closure_unit() {
    local said tries
    find_interpreter
    cat >"$closure/values.new" && mv -f "$closure/values.new" "$closure/values" &&
        printf '%s\n' "$program" >"$closure/program.new" && mv -f "$closure/program.new" "$closure/program" || no_room
    tries=0
    # shellcheck disable=SC2086 # the interpreter may be two words
    until said=$(timeout -k 5 60 systemd-run --quiet --collect --no-ask-password --service-type=exec --unit="$closure_unit" \
        --description="$1 ($id)" -p WorkingDirectory=/ -p TimeoutStopSec=20 -p RuntimeMaxSec=172800 -p OOMPolicy=continue -p OOMScoreAdjust=1000 \
        -p ExecStopPost="$(tool rm) -rf $closure_roots $closure" -E PATH="$PATH" $interpreter "$closure/program" "$closure" 2>&1); do
        # This script may run a second time, after a connection that was lost.
        case $(sc show -p ActiveState --value "$closure_unit" 2>/dev/null) in active | activating) return ;; esac
        tries=$((tries + 1))
        [ "$tries" -lt 5 ] || refuse no-unit "$(no_unit "$closure_unit" "$said")"
        sleep 0.2
    done
}
