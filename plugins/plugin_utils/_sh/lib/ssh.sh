# Whether somebody can still log in: looked at on the host before the window opens. A login from outside proves little by
# itself: it works with a broken sshd_config and with the host keys gone, until sshd is started again.
# needs: base allowed complain lines process
# shellcheck shell=sh

# ssh_command: sshd and its configuration as the unit that is loaded now starts it, in $sshd and $sshd_config.
ssh_command() {
    local name start
    for name in sshd.service ssh.service sshd@deploy-flake.service ssh@deploy-flake.service; do
        start=$(sc show -p ExecStart --value "$name" 2>/dev/null) || continue
        # { path=PROGRAM ; argv[]=PROGRAM ARGUMENTS ; …, of several the last.
        start=${start##*\{ path=}
        sshd=${start%% ;*}
        [ -x "$sshd" ] || continue
        start=${start#* argv\[\]=}
        start=${start%% ;*}
        case $start in
        *" -f "*)
            sshd_config=${start##* -f }
            sshd_config=${sshd_config%% *}
            ;;
        *) sshd_config=/etc/ssh/sshd_config ;;
        esac
        return 0
    done
    return 1
}

# sshd exits 255 for a bad configuration, which would look like a dead connection.
sshd_settings() { timeout -k 5 20 "$sshd" -T -f "$sshd_config" "$@" 2>/dev/null || return 1; }

# look_at_sshd: what sshd would do for the login user if it were started now, in $settings_of_sshd; no, if there is none.
look_at_sshd() {
    settings_of_sshd=
    ssh_command || return 1
    settings_of_sshd=$(sshd_settings -C "user=$login_user,host=localhost,addr=127.0.0.1" || sshd_settings)
    return 0
}

# each_setting FUNCTION: calls it with each of them, name and value.
each_setting() {
    local name value
    while read -r name value; do "$1" "$name" "$value"; done <<END
$settings_of_sshd
END
}

host_keys() { each_setting host_key; }

host_key() { [ "$1" != hostkey ] || [ ! -r "$2" ] || cksum "$2"; }

# login_keys: where keys of the login user are found; fails where nobody says in time who that is, as a directory of users does
# that is not reached.
login_keys() {
    local entry home
    entry=$(limited 20 getent passwd "$login_user") || {
        ! out_of_time "$?"
        return
    }
    IFS=: read -r _ _ _ _ _ home _ <<END
$entry
END
    each_setting login_key
}

login_key() {
    local file
    case $1:$2 in
    authorizedkeyscommand:/*) printf 'command %s\n' "$2" ;;
    authorizedkeysfile:*)
        for file in $2; do
            case $file in *%*) file=$(printf '%s' "$file" | sed -e "s|%u|$login_user|g" -e "s|%h|$home|g") ;; esac
            case $file in /*) ;; *) file=$home/$file ;; esac
            ! has_something "$file" || printf '%s\n' "$file"
        done
        ;;
    esac
}

# has_something FILE: a home may be on a server that does not answer; what the system itself has is here.
has_something() {
    local size
    case $1 in
    /etc/* | /nix/*) [ -s "$1" ] ;;
    *) size=$(limited 10 stat -L -c %s -- "$1" 2>/dev/null) && [ "$size" != 0 ] ;;
    esac
}

# ssh_wanted: whether the target that the host boots into brings ssh up. Mostly its own directory says so. systemd is asked from
# below, which is a much shorter list.
ssh_wanted() {
    local booted_into name wanting
    booted_into=$(readlink -f /etc/systemd/system/default.target)
    for name in sshd.service ssh.service sshd.socket ssh.socket; do
        [ ! -e "/etc/systemd/system/${booted_into##*/}.wants/$name" ] || return 0
    done
    booted_into=$(sc show -p Id --value default.target)
    sc list-dependencies --reverse --plain --full sshd.service sshd.socket ssh.service ssh.socket 2>/dev/null |
        while read -r wanting; do [ "$wanting" != "$booted_into" ] || echo yes; done | grep -q yes
}

# still_reachable: complains, on one line, where not.
still_reachable() {
    local keys lost said
    # Where no ssh unit is wanted, the way in is something else, and only the confirmation can tell.
    look_at_sshd || { allowed no_ssh && return 0; } || { complain unreachable "the new system has no ssh unit"; return; }
    # It says its settings only if they are good ones.
    [ -n "$settings_of_sshd" ] || said=$(timeout -k 5 20 "$sshd" -t -f "$sshd_config" 2>&1) || {
        complain unreachable "sshd refuses the new configuration: $(printf '%s' "$said" | tail -n 1)"
        return
    }
    ssh_wanted || allowed no_ssh || { complain unreachable "the ssh unit is not started with the new system's default target"; return; }
    host_keys >"$dir/host-keys-now"
    lost=$(lines_without "$dir/host-keys-now" <"$dir/host-keys" | cut -d' ' -f3- | tr '\n' ' ')
    [ -z "$lost" ] || { complain unreachable "host keys have changed or gone: $lost"; return; }
    [ -s "$dir/login-keys" ] || return 0
    keys=$(login_keys) || { complain unreachable "with the new system it cannot be found out within 20 s who $login_user is"; return; }
    [ -n "$keys" ] || complain unreachable "the new system has no authorized keys for $login_user"
}
