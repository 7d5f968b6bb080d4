# Evaluates something small as the login user.
# nix_arguments: quoted for a shell. sources: what was kept for it, one a line. If the value is store paths, it says which of them the host
# has. ask_committed: whether to say as well what the boot default was made from.
# inputs: login_user nix_arguments eval_limit sources ask_committed
# words: nix_arguments
# needs: base known_value last_committed nix_access nix_config nix_unit own_directory roots shortage tools
# shellcheck shell=sh

# evaluate: in a unit; what it says is in $value.
# shellcheck disable=SC2120 # `set` gives them
evaluate() {
    local eval_unit status temporary
    temporary=$(mktemp -d "$run_dir/eval.XXXXXXXX") || refuse no-space "cannot make a directory in $run_dir"
    eval_unit=deploy-flake-eval-${temporary##*.}.service
    lend_nix_config "$temporary" "$eval_unit"
    choose_cache
    name_to_note
    eval "set -- $nix_arguments"
    value=$(nix_unit $((eval_limit + 30)) --wait --pipe --unit="$eval_unit" --description="evaluates a flake for deploy-flake" \
        -p RuntimeMaxSec="$eval_limit" -p TimeoutStopSec=20 "$(tool nix)" "$@" 2>"$temporary/error")
    status=$?
    [ "$status" != 0 ] || note_value "$temporary" "$asked" "$value"
    answer status "$status"
    answer value "$value"
    answer error "$(tail -c 16384 "$temporary/error")"
    rm -rf "$temporary"
    if [ "$status" != 0 ]; then
        # Nothing will come of this flake.
        drop_roots "$sources"
        answer_shortage
        answer_shut_out
    fi
}

# derivations_are_there: whether all those that a known value names have outlived garbage collection.
derivations_are_there() {
    local all_there old_ifs word
    all_there=yes
    set -f
    old_ifs=$IFS
    IFS=' "'
    for word in $value; do
        case $word in /nix/store/*.drv) [ -e "$word" ] || all_there=no ;; esac
    done
    IFS=$old_ifs
    set +f
    [ "$all_there" = yes ]
}

main() {
    local path value
    answer_begin
    require_root
    command -v nix >/dev/null || refuse no-nix "has no nix in $PATH (is Nix installed there?)"
    login_user=${login_user:-${SUDO_USER:-${DOAS_USER:-root}}}
    own_directory "$run_dir" || refuse no-directory "$run_dir is not a directory of root's alone"
    # shellcheck disable=SC2119
    if find_value && derivations_are_there; then
        answer status 0
        answer value "$value"
    else
        evaluate
    fi
    [ "$ask_committed" = no ] || answer_last_committed
    set -f
    case $value in
    /nix/store/*) for path in $value; do ! nix-store --check-validity "$path" 2>/dev/null || answer valid "$path"; done ;;
    esac
}

main </dev/null
exit
