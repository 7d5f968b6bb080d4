# Whether Nix's daemon lets a user in.
# needs: base tools
# shellcheck shell=sh

# asks_nix: the least that needs the daemon, as the user $login_user.
asks_nix() {
    timeout -k 5 60 systemd-run --quiet --collect --wait --pipe --no-ask-password --description="asks whether Nix lets a user in" \
        -p User="$login_user" -p RuntimeMaxSec=30 -E PATH="$PATH" "$(tool nix-store)" --check-validity "$known" >/dev/null 2>&1
}

# answer_shut_out: after Nix has failed as the user $login_user: whether it would have, whatever it was asked, and who is let in.
# The client is told nothing but that the connection ended.
answer_shut_out() {
    local known
    known=$(leads_to /run/current-system)
    asks_nix && return
    # Where root cannot ask it either, it is another trouble.
    NIX_REMOTE=daemon timeout -k 5 30 nix-store --check-validity "$known" >/dev/null 2>&1 || return 0
    answer shut_out "$login_user"
    answer allowed_users "$(nix --extra-experimental-features nix-command config show allowed-users 2>/dev/null ||
        nix --extra-experimental-features nix-command show-config 2>/dev/null | sed -n 's/^allowed-users = //p')"
}
