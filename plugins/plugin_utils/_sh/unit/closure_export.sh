# Hands out a closure, batch by batch, each as one stream that is cut into pieces. There are few pieces at a time: each waits until one before
# it was taken. Argument: its directory, which has the batches and the values.
# facts: piece_size pack idle_limit
# needs: base
# shellcheck shell=sh disable=SC1091

ahead=3

main() {
    dir=$1
    . "$dir/values"
    printf '0\n' >"$dir/number"
    while read_batch; do
        # shellcheck disable=SC2086 # words
        { nix-store --export $batch </dev/null 2>"$dir/error" || printf '' >"$dir/failed"; } | packed | cut_into_pieces
        # Then it cannot be read to its end either.
        [ ! -e "$dir/idle" ] || exit 0
        [ ! -e "$dir/failed" ] || end_with "$(tail -n 3 "$dir/error" | tr '\n' ' ')"
    done 3<"$dir/batches"
    # Whoever has taken the last one stops this unit.
    read_line "$dir/number"
    number=$((line + ahead))
    wait_until_taken
}

# read_batch: the paths of the next one, in $batch; no, where there is none.
read_batch() {
    local path
    batch=
    while read -r path <&3 && [ -n "$path" ]; do batch="$batch $path"; done
    [ -n "$batch" ]
}

packed() { if [ "$pack" = yes ]; then gzip -1; else cat; fi; }

# cut_into_pieces: a stream; the last piece may be empty. In a process of its own, so what it counts is in a file.
cut_into_pieces() {
    local size
    read_line "$dir/number"
    number=$line
    size=$piece_size
    while [ "$size" = "$piece_size" ]; do
        number=$((number + 1))
        wait_until_taken || return 0
        dd bs="$piece_size" count=1 iflag=fullblock >"$dir/next" 2>/dev/null
        size=$(stat -c %s "$dir/next")
        [ ! -e "$dir/failed" ] || return 0
        printf '%s\n' "$number" >"$dir/number"
        if [ "$size" = "$piece_size" ]; then mv -f "$dir/next" "$dir/piece-$number"; else mv -f "$dir/next" "$dir/piece-$number.last"; fi
    done
}

# wait_until_taken: until there is room for piece $number. No, where nobody has come for too long.
wait_until_taken() {
    local before since uptime
    clock
    since=$uptime
    before=
    while :; do
        read_line "$dir/taken"
        [ "$((number - ${line:-0}))" -gt "$ahead" ] || return 0
        clock
        [ "$line" = "$before" ] || since=$uptime
        before=$line
        [ $((uptime - since)) -lt "$idle_limit" ] || { printf '' >"$dir/idle" && return 1; }
        sleep 0.1
    done
}

# end_with MESSAGE: for whoever asks for the next piece.
end_with() {
    printf '%s\n' "$1" >"$dir/result.new" && mv -f "$dir/result.new" "$dir/result"
    read_line "$dir/number"
    number=$((line + ahead + 1))
    wait_until_taken
    exit 1
}

main "$@"
exit
