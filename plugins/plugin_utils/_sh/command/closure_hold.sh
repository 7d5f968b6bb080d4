# Keeps store paths from garbage collection until closure_end, for a day at most. paths: one a line.
# inputs: paths
# needs: base closure closure_roots
# shellcheck shell=sh

main() {
    answer_begin
    require_root
    begin_closure
    printf '%s\n' "$paths" >"$closure/paths" || no_room
    root_closure "$closure/paths"
}

main </dev/null
exit
