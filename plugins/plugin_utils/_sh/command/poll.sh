# needs: base follow
# shellcheck shell=sh
main() {
    begin
    tell
}

main </dev/null
exit
