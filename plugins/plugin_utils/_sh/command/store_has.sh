# Asks which store paths the host lacks, and keeps none of them. paths: one a line. ask_committed: whether to say as well what the boot
# default was made from.
# inputs: paths ask_committed
# needs: base last_committed
# shellcheck shell=sh

main() {
    local invalid path
    answer_begin
    require_root
    command -v nix-store >/dev/null || refuse no-nix "has no nix-store in $PATH (is Nix installed there?)"
    # shellcheck disable=SC2086 # words
    invalid=$(nix-store --check-validity --print-invalid $paths 2>/dev/null) || refuse no-answer "cannot say whether it has $paths"
    for path in $invalid; do answer missing "$path"; done
    [ "$ask_committed" = no ] || answer_last_committed
}

main </dev/null
exit
