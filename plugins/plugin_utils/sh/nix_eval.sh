# Evaluates something small as the login user. From the controller: login_user, nix_arguments (quoted), limit.
# shellcheck shell=sh

# shellcheck disable=SC2120 # `set` gives them
main() {
    answer_begin
    require_root
    login_user=${login_user:-${SUDO_USER:-${DOAS_USER:-root}}}
    eval "set -- $nix_arguments"
    answer value "$(timeout -k 5 "$limit" systemd-run --quiet --collect --wait --pipe --no-ask-password -p User="$login_user" \
        -E PATH="$PATH" "$(tool nix)" "$@" 2>/dev/null)"
}

# shellcheck disable=SC2119
main </dev/null
exit
