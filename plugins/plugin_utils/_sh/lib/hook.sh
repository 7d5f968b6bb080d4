# Programs of what is deployed that are run before and after it is activated, as its owner. A profile's owner gets an environment of its own.
# inputs: check_limit
# facts: new new_live
# needs: base log profile_owner
# shellcheck shell=sh

# hook FILE: its status, also in $status; 0 where the new system has none. What is known of the deployment is in its environment, and not
# among its arguments, which every user can see.
hook() {
    status=0
    [ -n "$1" ] && [ -x "$new_live/$1" ] || return 0
    read_line "$dir/about"
    export DEPLOY_FLAKE_ABOUT="{$line}" DEPLOY_FLAKE_TOPLEVEL="$new" DEPLOY_FLAKE_SYSTEM="$new_live"
    export DEPLOY_FLAKE_PREVIOUS_SYSTEM="${previous_live-}" DEPLOY_FLAKE_PREVIOUS_BOOT_DEFAULT="${previous_boot-}"
    log_mark "a program of the new system: $1"
    for_profile "$check_limit" "$new_live/$1" || log_line "it exited $status"
    unset DEPLOY_FLAKE_ABOUT DEPLOY_FLAKE_TOPLEVEL DEPLOY_FLAKE_SYSTEM DEPLOY_FLAKE_PREVIOUS_SYSTEM DEPLOY_FLAKE_PREVIOUS_BOOT_DEFAULT
    return "$status"
}

# words_of_hook: what the last one said last, on one line; of others that were run before it nothing.
words_of_hook() { log_end | awk '/^--- a program of the new system: / { count = 0 } !/^--- / { said[++count] = $0 } END { for (i = (count > 3 ? count - 2 : 1); i <= count; i++) printf "%s ", said[i] }'; }
