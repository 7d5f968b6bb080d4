# Asks which snapshots the host lacks.
# needs: base root_snapshots
# shellcheck shell=sh

main() {
    answer_begin
    require_root
    root_snapshots
}

main </dev/null
exit
