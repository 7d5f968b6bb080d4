# Hands out a part of a source in the store, as a packed NAR. offset, size: which bytes of that.
# inputs: path offset size
# needs: base
# shellcheck shell=sh

main() {
    local pack
    answer_begin
    require_root
    nix-store --check-validity "$path" 2>/dev/null || refuse not-valid "does not have $path any more"
    if command -v gzip >/dev/null; then pack='gzip'; else pack='cat'; fi
    answer packed "$pack"
    printf 'part\0'
    # Whoever reads knows by the hash whether all of it came.
    nix-store --dump "$path" 2>/dev/null | "$pack" 2>/dev/null | tail -c "+$((offset + 1))" | head -c "$size" | base64
    printf '\0'
}

main </dev/null
exit
