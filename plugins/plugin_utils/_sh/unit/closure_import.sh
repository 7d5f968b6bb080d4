# Takes a closure, batch by batch, in pieces that come one by one. Each batch is whole in the store before the next one begins, and a root keeps
# what has come. Argument: its directory, which has the values.
# facts: packed substitute fetch_limit idle_limit
# needs: base
# shellcheck shell=sh disable=SC1091

main() {
    dir=$1
    . "$dir/values"
    [ "$substitute" = no ] || fetch
    xargs nix-store --check-validity --print-invalid <"$dir/wanted" >"$dir/missing.new" 2>"$dir/error" && mv -f "$dir/missing.new" "$dir/missing" || end_with 1
    printf '1\n' >"$dir/at"
    batches=0
    while wait_for_piece; do
        { feed | unpacked | nix-store --import >/dev/null 2>"$dir/error"; } || end_with $?
        batches=$((batches + 1))
        printf '%s\n' "$batches" >"$dir/batches.new" && mv -f "$dir/batches.new" "$dir/batches"
    done
}

# fetch: what substituters have; what they do not, or not in time, is sent.
fetch() {
    local ends paths
    clock
    ends=$((uptime + fetch_limit))
    while read_some; do
        clock
        [ "$uptime" -lt "$ends" ] || return 0
        # shellcheck disable=SC2086 # words
        timeout -k 5 $((ends - uptime)) nix-store --realise --keep-going --ignore-unknown $paths </dev/null >/dev/null 2>"$dir/error"
    done 3<"$dir/lacking"
}

# read_some: a hundred of the lacking paths, in $paths; no, where none is left.
read_some() {
    local count path
    paths=
    count=0
    while [ "$count" -lt 100 ] && read -r path <&3; do
        paths="$paths $path"
        count=$((count + 1))
    done
    [ -n "$paths" ]
}

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
        [ $((uptime - since)) -lt "$idle_limit" ] || { printf '' >"$dir/idle" && return 1; }
        sleep 0.1
    done
}

# end_with STATUS: why a batch could not be imported, for whoever asks. By signal 9 the kernel ends what there is no memory for.
end_with() {
    local code said
    # Then what has come of a batch is not whole.
    [ ! -e "$dir/idle" ] || exit 0
    said=$(tail -n 3 "$dir/error" | tr '\n' ' ')
    case $1:$said in
    *"No space left on device"* | *"Disk quota exceeded"*) code=no-space ;;
    137:* | *std::bad_alloc* | *"out of memory"* | *"Cannot allocate memory"*) code=no-memory ;;
    *) code=not-imported ;;
    esac
    printf '%s %s\n' "$code" "$said" >"$dir/result.new" && mv -f "$dir/result.new" "$dir/result"
    sleep "$idle_limit"
    exit 1
}

main "$@"
exit
