# Puts the NAR on standard input into the store.
# needs: base receive_snapshot
# shellcheck shell=sh

main() {
    answer_begin
    require_root
    receive_snapshot
    answer added "$path"
}

main
exit
