# Lets garbage collection have the sources again of a build that will not be. paths: one a line.
# inputs: paths
# needs: base roots
# shellcheck shell=sh

main() {
    answer_begin
    require_root
    drop_roots "$paths"
}

main </dev/null
exit
