# Takes a closure, batch by batch, in pieces that come one by one. Each batch is whole in the store before the next one begins, and a root keeps
# what has come. Argument: its directory, which has the values.
# facts: packed substitute idle_limit
# needs: base
# shellcheck shell=sh disable=SC1091

main() {
    dir=$1
    . "$dir/values"
    [ "$substitute" = no ] || fetch
    xargs nix-store --check-validity --print-invalid <"$dir/wanted" >"$dir/missing.new" 2>"$dir/error" && mv -f "$dir/missing.new" "$dir/missing" || end_with
    printf '1\n' >"$dir/at"
    batches=0
    while wait_for_piece; do
        { feed | unpacked | nix-store --import >/dev/null 2>"$dir/error"; } || end_with
        batches=$((batches + 1))
        printf '%s\n' "$batches" >"$dir/batches.new" && mv -f "$dir/batches.new" "$dir/batches"
    done
}

# fetch: what substituters have; what they do not is sent.
fetch() { xargs -n 100 nix-store --realise --keep-going --ignore-unknown <"$dir/lacking" >/dev/null 2>"$dir/error" || :; }

unpacked() { if [ "$packed" = yes ]; then gzip -dc 2>/dev/null; else cat; fi; }

# feed: the pieces of one batch, until its last.
feed() {
    while wait_for_piece; do
        cat "$piece" || return 0
        rm -f "$piece"
        printf '%s\n' "$((at + 1))" >"$dir/at.new" && mv -f "$dir/at.new" "$dir/at"
        case $piece in *.last) return ;; esac
    done
}

# wait_for_piece: the next one, in $piece. No, where none has come for too long.
wait_for_piece() {
    local since uptime
    read_line "$dir/at"
    at=$line
    clock
    since=$uptime
    while :; do
        for piece in "$dir/piece-$at" "$dir/piece-$at.last"; do
            [ ! -e "$piece" ] || return 0
        done
        clock
        [ $((uptime - since)) -lt "$idle_limit" ] || return 1
        sleep 0.1
    done
}

# end_with: why a batch could not be imported, for whoever asks.
end_with() {
    local code said
    said=$(tail -n 3 "$dir/error" | tr '\n' ' ')
    case $said in *"No space left on device"* | *"Disk quota exceeded"*) code=no-space ;; *) code=not-imported ;; esac
    printf '%s %s\n' "$code" "$said" >"$dir/result.new" && mv -f "$dir/result.new" "$dir/result"
    sleep "$idle_limit"
    exit 1
}

main "$@"
exit
