# Hands out one piece of a closure, and lets go of those before it. patience: for how many seconds to wait for it.
# inputs: number patience
# needs: base closure
# shellcheck shell=sh

main() {
    local deadline
    answer_begin
    require_root
    name_closure
    clock
    deadline=$((uptime + patience))
    [ ! -d "$closure" ] || { printf '%s\n' "$((number - 1))" >"$closure/taken.new" && mv -f "$closure/taken.new" "$closure/taken"; }
    rm -f "$closure/piece-$((number - 1))" "$closure/piece-$((number - 1)).last"
    while [ -d "$closure" ]; do
        for piece in "$closure/piece-$number" "$closure/piece-$number.last"; do
            [ -e "$piece" ] && hand_out && return
        done
        if [ -e "$closure/result" ]; then
            read_line "$closure/result"
            answer failed "$line"
            return
        fi
        clock
        [ "$uptime" -lt "$deadline" ] || return 0
        is_at_work || break
        sleep 0.1
    done
    answer gone yes
}

hand_out() {
    printf 'piece\0' && base64 "$piece" && printf '\0'
    case $piece in *.last) answer last yes ;; *) answer last no ;; esac
}

main </dev/null
exit
