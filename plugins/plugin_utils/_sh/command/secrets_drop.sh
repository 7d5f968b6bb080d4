# Lets go of secrets that were sent for a deployment which will not be.
# inputs: id
# needs: base staged_secrets
# shellcheck shell=sh

main() {
    answer_begin
    require_root
    [ -e "$run_dir/$id/settings" ] || drop_staged
    answer id "$id"
}

main </dev/null
exit
