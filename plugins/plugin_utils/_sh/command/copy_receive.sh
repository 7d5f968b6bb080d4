# Puts the NAR on standard input into the store. From the controller: path, nar_size.
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
