# needs: base deployment_state
# shellcheck shell=sh
main() {
    begin
    tell
}

main </dev/null
exit
