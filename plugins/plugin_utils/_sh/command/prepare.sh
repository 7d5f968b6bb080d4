# Looks whether a deployment that waits for confirmation could commit now, and extends its window once.
# facts: new new_live previous_boot confirm_limit
# needs: base boot_files complain deployment_state profile
# shellcheck shell=sh

main() {
    begin
    if [ -e "$dir/window" ]; then
        # shellcheck disable=SC1091 # made by command/start
        . "$dir/settings"
        # `&&` and `||` of a shell have one rank.
        if { [ ! -e "$dir/mode" ] && [ "$(readlink -f /run/current-system)" != "${new_live:-$new}" ]; } ||
            [ "$(boot_default)" != "$previous_boot" ]; then
            refuse superseded "was switched by somebody else meanwhile"
        fi
        boot_files_fit || refuse "$code" "$complaint"
        # By how many seconds.
        printf '%s\n' "$confirm_limit" >"$dir/extended"
        [ ! -e "$dir/window" ] || answer prepared yes
    fi
    tell
}

main </dev/null
exit
