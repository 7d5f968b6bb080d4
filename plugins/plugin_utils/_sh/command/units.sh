# Says what state some units are in. units: one a line.
# inputs: units
# needs: base
# shellcheck shell=sh

main() {
    local name
    answer_begin
    while read -r name; do
        [ -z "$name" ] || answer unit "$name $(sc show -p ActiveState --value -- "$name" 2>/dev/null)"
    done <<END
$units
END
}

main </dev/null
exit
