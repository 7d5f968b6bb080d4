# Evaluates something small as the login user.
# From the controller: login_user, nix_arguments (quoted), nix_config, eval_limit.
# shellcheck shell=sh

# shellcheck disable=SC2120 # `set` gives them
main() {
    answer_begin
    require_root
    login_user=${login_user:-${SUDO_USER:-${DOAS_USER:-root}}}
    own_directory "$run_dir" || refuse no-directory "$run_dir is not a directory of root's alone"
    temporary=$(mktemp -d "$run_dir/eval.XXXXXXXX") || refuse no-space "cannot make a directory in $run_dir"
    eval_unit=deploy-flake-eval-${temporary##*.}.service
    lend_nix_config "$temporary" "$eval_unit"
    eval "set -- $nix_arguments"
    answer value "$(timeout -k 5 "$eval_limit" systemd-run --quiet --collect --wait --pipe --no-ask-password --unit="$eval_unit" \
        -p User="$login_user" -E PATH="$PATH" ${credential:+-p LoadCredential="$credential" -E NIX_USER_CONF_FILES="$config_files"} \
        "$(tool nix)" "$@" 2>/dev/null)"
    rm -rf "$temporary"
}

# shellcheck disable=SC2119
main </dev/null
exit
