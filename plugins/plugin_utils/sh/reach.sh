# Whether somebody can still log in: looked at on the host before the window opens. A login from outside proves little by
# itself: it works with a broken sshd_config and with the host keys gone, until sshd is started again.
# shellcheck shell=sh

# ssh_command: sshd and its configuration as the unit that is loaded now starts it, in $sshd and $sshd_config.
ssh_command() {
    for name in sshd.service ssh.service sshd@deploy-flake.service ssh@deploy-flake.service; do
        start=$(sc show -p ExecStart --value "$name" 2>/dev/null) || continue
        sshd=$(printf '%s\n' "$start" | sed -n 's/^{ path=\([^ ;]*\) ;.*/\1/p' | tail -n 1)
        [ -x "$sshd" ] || continue
        sshd_config=$(printf '%s\n' "$start" | sed -n 's/.* argv\[\]=[^;]* -f \([^ ;]*\).*/\1/p' | tail -n 1)
        sshd_config=${sshd_config:-/etc/ssh/sshd_config}
        return 0
    done
    return 1
}

# sshd exits 255 for a bad configuration, which would look like a dead connection.
effective_sshd_config() { timeout -k 5 20 "$sshd" -T -f "$sshd_config" "$@" 2>/dev/null || return 1; }

host_keys() {
    ssh_command || return 0
    effective_sshd_config | sed -n 's/^hostkey //p' | sort | while read -r key; do
        [ ! -r "$key" ] || cksum "$key"
    done
}

# login_keys: the files that hold keys of the login user, in the configuration that is loaded now.
login_keys() {
    ssh_command || return 0
    entry=$(getent passwd "$login_user") || return 0
    home=$(printf '%s' "$entry" | cut -d: -f6)
    login_config=$(effective_sshd_config -C "user=$login_user,host=localhost,addr=127.0.0.1") || return 0
    printf '%s\n' "$login_config" | grep -v '^authorizedkeyscommand none' | sed -n 's/^authorizedkeyscommand \//command \//p'
    printf '%s\n' "$login_config" | sed -n 's/^authorizedkeysfile //p' | tr ' ' '\n' | while read -r file; do
        file=$(printf '%s' "$file" | sed -e "s|%u|$login_user|g" -e "s|%h|$home|g")
        case $file in /*) ;; *) file=$home/$file ;; esac
        [ ! -s "$file" ] || printf '%s\n' "$file"
    done
}

ssh_wanted() {
    sc list-dependencies --plain --full default.target 2>/dev/null | grep -q -E '^ *sshd?\.(service|socket)$'
}

# still_reachable: says what is wrong, on one line.
still_reachable() {
    ssh_command || { echo "the new system has no ssh unit" && return 1; }
    complaint=$(timeout -k 5 20 "$sshd" -t -f "$sshd_config" 2>&1) || {
        echo "sshd refuses the new configuration: $(printf '%s' "$complaint" | tail -n 1)"
        return 1
    }
    ssh_wanted || { echo "the ssh unit is not started with the new system's default target" && return 1; }
    lost=$(host_keys | grep -F -x -v -f - "$dir/host-keys" | cut -d' ' -f3- | tr '\n' ' ')
    [ -z "$lost" ] || { echo "host keys have changed or gone: $lost" && return 1; }
    if [ -s "$dir/login-keys" ] && [ -z "$(login_keys)" ]; then
        echo "the new system has no authorized keys for $login_user" && return 1
    fi
}
