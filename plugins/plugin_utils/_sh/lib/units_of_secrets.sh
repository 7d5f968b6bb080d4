# The units that read secrets. A line of `units`: restart:NAME or reload:NAME.
# needs: base replace_files
# shellcheck shell=sh

# each_unit FUNCTION DIRECTORY: calls it with what is to be done and the name, for all at once: one that hangs holds up no other one. Once for a
# unit, which is not reloaded where it is restarted.
each_unit() {
    local named
    sort -u "$2/units" | {
        while read -r named; do
            case $named in reload:*) ! grep -q -F -x -e "restart:${named#*:}" "$2/units" || continue ;; esac
            "$1" "${named%%:*}" "${named#*:}" &
        done
        wait
    }
}

# invocation UNIT: which run of it this is; nothing where it does not run.
invocation() { readlink "/run/systemd/units/invocation:$1"; }

# note_invocations_of_units FILE
note_invocations_of_units() { each_unit note_invocation "$change" >"$1"; }

note_invocation() { printf '%s\n' "$2 $(invocation "$2")"; }

# restart_units: each that has not been started since the secrets were put in place. Those that could not be are in `failed`, with more words where
# they have not failed themselves.
restart_units() {
    [ -d "$change" ] || return 0
    each_unit restart_unit "$change" >"$staged/failed"
    [ ! -s "$staged/failed" ] || fail "these units could not be restarted or reloaded after their secrets had changed: $(sort "$staged/failed" | paste -s -d , | sed 's/,/, /g')"
}

# restart_unit ACTION UNIT: one that does not run has nothing to read again.
restart_unit() {
    case $1:$(sc show -p LoadState -p ActiveState -p CanReload -- "$2") in
    *LoadState=not-found*)
        printf '%s\n' "$2 (there is no such unit)"
        return
        ;;
    *ActiveState=inactive*) return 0 ;;
    reload:*CanReload=no*)
        printf '%s\n' "$2 (it has no reload; name it in restart_units)"
        return
        ;;
    *)
        ! grep -q -F -e "$2 " "$staged/invocations" || grep -q -F -x -e "$2 $(invocation "$2")" "$staged/invocations" || return 0
        # It may have failed too often to be started again.
        [ "$1" = reload ] || sc reset-failed -- "$2" 2>/dev/null
        timeout -k 5 100 systemctl --no-pager "$1" -- "$2" && return 0
        ;;
    esac
    printf '%s\n' "$2"
}

# units_back: to what they had read before, if they may have read anything else, as all may that were started since; of a change that is over. In
# less time than the undo has for it. What is not well then, the way back mends, or tells.
units_back() { [ ! -e "$over/placed" ] || each_unit unit_back "$over"; }

unit_back() {
    local verb
    verb=$1
    [ "$verb" = reload ] || {
        ! grep -q -s -F -x -e "$2 $(invocation "$2")" "$over/invocations" || return 0
        verb=try-restart
    }
    timeout -k 5 90 systemctl --no-pager "$verb" -- "$2"
    return 0
}
