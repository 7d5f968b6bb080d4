# Tells a deployment that waits for confirmation to roll back now.
# inputs: reason
# needs: base decide deployment_state
# shellcheck shell=sh

main() {
    begin
    if [ -e "$dir/settings" ]; then
        printf '%s\n' "$reason" >"$dir/revoked.why"
        if decide revoked; then answer revoked yes; fi
    fi
    tell
}

main </dev/null
exit
