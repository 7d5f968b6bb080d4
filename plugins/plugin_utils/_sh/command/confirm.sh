# Confirms a deployment that waits for it. meant: the toplevel that the operator has in mind.
# inputs: meant
# facts: new
# needs: base controller decide deployment_state still_ours
# shellcheck shell=sh

main() {
    local its
    begin
    if [ -e "$dir/settings" ]; then
        # shellcheck disable=SC1091 # made by command/start
        its=$(. "$dir/settings" && printf '%s' "$new") 2>/dev/null
        # None: it ended this moment, and has tidied up.
        [ "${its:-$meant}" = "$meant" ] || refuse other-toplevel "deployment $id is about $its, not about $meant"
        [ ! -e "$dir/window" ] || ! is_controller || refuse unproven-way-in "$from_itself"
        # What is confirmed is what runs now.
        [ ! -e "$dir/window" ] || still_ours || refuse superseded "was switched by somebody else meanwhile"
        # Rename decides; who loses reads in the state what has become of it.
        if decide confirmed; then answer confirmed yes; fi
    fi
    tell
}

main </dev/null
exit
