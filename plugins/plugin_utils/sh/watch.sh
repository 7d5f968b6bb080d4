# shellcheck shell=sh
main() {
    answer_begin
    require_root
    tell
}

main </dev/null
exit
