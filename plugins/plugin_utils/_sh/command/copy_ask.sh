# Asks which snapshots the host lacks. From the controller: paths, one a line.
# inputs: paths
# needs: common snapshots
# shellcheck shell=sh

main() {
    answer_begin
    require_root
    root_snapshots
    answer asked yes
}

main </dev/null
exit
