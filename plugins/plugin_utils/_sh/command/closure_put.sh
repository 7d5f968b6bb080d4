# Takes a piece of a closure on standard input, and says how far its import is. size: of the piece; nothing where it is only asked. last: whether
# it ends a batch. patience: for how many seconds to wait for room for another one; until: for how many batches, or for what is lacking.
# inputs: number size until patience
# inputs where size: last
# needs: base closure free_space shortage
# shellcheck shell=sh

ahead=3

main() {
    local deadline
    answer_begin
    require_root
    name_closure
    if [ ! -d "$closure" ]; then
        read_on
        answer gone yes
        return
    fi
    [ -z "$size" ] || keep_piece || return 0
    clock
    deadline=$((uptime + patience))
    until there || [ -e "$closure/result" ]; do
        clock
        [ -d "$closure" ] && [ "$uptime" -lt "$deadline" ] && is_at_work || break
        sleep 0.1
    done
    hand_out
}

# read_on: whoever sends takes an end before the last byte for a lost connection.
read_on() { [ -z "$size" ] || cat >/dev/null; }

# keep_piece: by rename, since what a lost connection has left of one is none. It may come twice.
keep_piece() {
    local got
    read_line "$closure/received"
    [ "$number" -gt "${line:-0}" ] || { read_on && return 0; }
    cat >"$closure/incoming.$$" 2>/dev/null
    got=$(stat -c %s "$closure/incoming.$$" 2>/dev/null)
    [ "$got" = "$size" ] || {
        rm -f "$closure/incoming.$$"
        answer got "${got:-0}"
        return 1
    }
    if [ "$last" = yes ]; then got=$closure/piece-$number.last; else got=$closure/piece-$number; fi
    mv -f "$closure/incoming.$$" "$got" && printf '%s\n' "$number" >"$closure/received.new" && mv -f "$closure/received.new" "$closure/received"
}

# there: whether what is waited for is.
there() {
    case $until in
    lacking) [ -e "$closure/missing" ] ;;
    room)
        read_line "$closure/received"
        set -- "${line:-0}"
        read_line "$closure/at"
        [ $(($1 - ${line:-1} + 1)) -lt "$ahead" ]
        ;;
    *)
        read_line "$closure/batches"
        [ "${line:-0}" -ge "$until" ]
        ;;
    esac
}

hand_out() {
    local code
    [ -d "$closure" ] || { answer gone yes && return; }
    if [ -e "$closure/result" ]; then
        read -r code line <"$closure/result"
        free_kib /nix
        answer failed "$line"
        answer code "$code"
        answer free "$free"
        return
    fi
    there || return 0
    answer there yes
    if [ "$until" = lacking ]; then
        free_kib /nix
        answer free "$free"
        answer_memory
        printf 'missing\0' && cat "$closure/missing" && printf '\0'
    fi
}

main
exit
