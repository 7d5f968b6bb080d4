# Looks whether a deployment that waits for confirmation could commit now, and extends its window once.
# facts: new confirm_limit
# needs: base boot_files complain deployment_state still_ours
# shellcheck shell=sh

main() {
    begin
    if [ -e "$dir/window" ]; then
        # shellcheck disable=SC1091 # made by command/start
        . "$dir/settings"
        still_ours || refuse superseded "was switched by somebody else meanwhile"
        boot_files_fit || refuse "$code" "$complaint"
        # By how many seconds.
        printf '%s\n' "$confirm_limit" >"$dir/extended"
        [ ! -e "$dir/window" ] || answer prepared yes
    fi
    tell
}

main </dev/null
exit
