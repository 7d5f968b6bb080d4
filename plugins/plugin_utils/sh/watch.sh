# shellcheck shell=sh
main() {
    answer_begin
    use_its_tools
    require_root
    tell
}

main </dev/null
exit
