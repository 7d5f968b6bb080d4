# Looks at the host, and starts the supervisor of a new deployment.
# From the controller: id, new, program, settings, about, mode, check_mode, over_ssh, login_user, allow, need_nix_kib,
# need_boot_kib, install_bootloader, runtime_limit, stop_limit.
# shellcheck shell=sh

# no REASON MESSAGE: nothing will come of this toplevel.
no() {
    drop_all_roots
    refuse "$@"
}

main() {
    answer_begin
    require_root
    for needed in nix-store nix-env systemctl systemd-run flock timeout; do
        command -v "$needed" >/dev/null || no no-tool "has no $needed in $PATH"
    done
    tools_work || no broken-tool "has a timeout or readlink in $PATH that does not do its work"
    nix-store --check-validity "$new" 2>/dev/null || no not-valid "does not have $new in its store"
    look_at_toplevel
    live=$(readlink -f /run/current-system)
    default=$(boot_default)
    answer previous_live "$live"
    answer previous_boot "$default"
    if [ "$default" = "$new" ] && { [ "$live" = "$new" ] || [ "$mode" = boot ]; } && [ ! -e "$var_dir/open.json" ] && [ ! -e "$run_dir/current" ]; then
        drop_all_roots
        answer unchanged yes
        answer generation "$(current_generation)"
        exit 0
    fi
    look_at_host
    others_at_work
    [ "$check_mode" = no ] || { drop_all_roots; exit 0; }
    make_directory
    start_supervisor
}

look_at_toplevel() {
    for part in nixos-version bin/switch-to-configuration; do
        [ -e "$new/$part" ] || no not-a-system "refuses $new: it is not a NixOS system, it has no $part"
    done
    hostname_file=$new/etc/hostname
    if [ -e "$hostname_file" ] && ! allowed other_hostname; then
        read -r its_name <"$hostname_file"
        [ "$its_name" = "$(uname -n)" ] || no other-hostname "refuses the new system: it is for a host named $its_name, and this one is $(uname -n)"
    fi
    if [ "$over_ssh" = yes ] && ! allowed no_ssh && [ -d "$new/etc/systemd/system" ]; then
        wanted=no
        for unit_file in "$new"/etc/systemd/system/*.wants/sshd.service "$new"/etc/systemd/system/*.wants/ssh.service \
            "$new"/etc/systemd/system/*.wants/sshd.socket "$new"/etc/systemd/system/*.wants/ssh.socket; do
            [ ! -e "$unit_file" ] && [ ! -L "$unit_file" ] || wanted=yes
        done
        [ "$wanted" = yes ] || no no-ssh "refuses the new system: it starts no ssh unit, and this host is deployed over ssh"
    fi
    if [ -r "$new/system" ] && [ -r /run/current-system/system ] && ! allowed other_architecture; then
        read -r its_system <"$new/system" || :
        read -r our_system </run/current-system/system || :
        [ "$its_system" = "$our_system" ] || no other-architecture "refuses the new system: it is for $its_system, and this host is $our_system"
    fi
}

look_at_host() {
    # While a deployment is open, that is its doing: it is busy, or is repaired first. The supervisor looks again.
    [ -e "$run_dir/current" ] || [ -e "$var_dir/open.json" ] || complaint=$(tested_boot_default "$live" "$default") || no untested-boot-default "$complaint"
    for path in /nix /boot; do
        [ -d "$path" ] || continue
        free=$(df -P -k "$path" | awk 'NR == 2 { print $4 }')
        case $path in /nix) needed=$need_nix_kib ;; *) needed=$need_boot_kib ;; esac
        [ "$free" -ge "$needed" ] || no no-space "has $free KiB free on $path, and needs $needed KiB"
    done
}

others_at_work() {
    busy=$(sc list-units --state=active,activating,deactivating --plain --no-legend --full 'nixos-upgrade.service' 'nixos-rebuild-switch-to-configuration*' | cut -d' ' -f1)
    [ -z "$busy" ] || { answer busy_by "$busy" && refuse busy "is being switched by $busy"; }
    load_trial && [ "$trial_new" != "$new" ] && trial_under_way || return 0
    refuse busy "is being booted once with another system to try it, since $trial_started: $trial_new"
}

make_directory() {
    own_directory "$run_dir" || no no-directory "$run_dir is not a directory of root's alone"
    own_directory "$var_dir" || no no-directory "$var_dir is not a directory of root's alone"
    dir=$run_dir/$id
    # This very script again, after a connection that was lost: all is over already, or the first run has made it.
    if grep -q "^{\"id\": \"$id\"" "$var_dir/deployments.jsonl" 2>/dev/null; then answer started yes && exit 0; fi
    if ! mkdir -m 0700 "$dir" 2>/dev/null; then
        [ ! -e "$dir/state" ] || { answer started yes && exit 0; }
    fi
    guard_deadline=$(($(now) + runtime_limit + 2 * stop_limit + 30))
    shell=$(readlink -f /bin/sh)
    interpreter=$shell
    case $shell in */busybox) interpreter="$shell sh" ;; esac
    # Whole at once: a first run that has lost its connection may have started a shell which is just reading them.
    printf '%s\n' "$about" >"$dir/about.$$" && mv -f "$dir/about.$$" "$dir/about" &&
        printf '%s\n' "$program" >"$dir/program.$$" && mv -f "$dir/program.$$" "$dir/program" &&
        {
            printf '%s\n' "$settings"
            printf 'interpreter=%s\nlogin_user=%s\nguard_deadline=%s\nallow=%s\n' "$(quote "$interpreter")" \
                "$(quote "${login_user:-${SUDO_USER:-${DOAS_USER:-root}}}")" "$guard_deadline" "$(quote "$allow")"
        } >"$dir/settings.$$" && mv -f "$dir/settings.$$" "$dir/settings" || {
        rm -rf "$dir"
        no no-space "cannot write to $run_dir: $(df -h "$run_dir" | tail -n 1)"
    }
}

# The unit's name is the lock.
start_supervisor() {
    tries=0
    while :; do
        # shellcheck disable=SC2086 # the interpreter may be two words
        complaint=$(timeout -k 5 60 systemd-run --quiet --collect --no-ask-password --service-type=exec --unit="$unit" \
            --description="deploys $new ($id)" \
            -p KillMode=control-group -p Restart=no -p IgnoreOnIsolate=yes -p Delegate=yes -p WorkingDirectory=/ -p UMask=0077 \
            -p OOMPolicy=continue -p OOMScoreAdjust=-900 -p ManagedOOMPreference=omit \
            -p RuntimeMaxSec="$runtime_limit" -p TimeoutStopSec="$stop_limit" \
            -p ExecStopPost="$interpreter $dir/program undo $dir" \
            ${LOCALE_ARCHIVE:+-E LOCALE_ARCHIVE} ${install_bootloader:+-E NIXOS_INSTALL_BOOTLOADER=1} \
            $interpreter "$dir/program" supervise "$dir" 2>&1) && break
        # It began, or has even ended and tidied up.
        if [ -e "$dir/state" ] || [ ! -e "$dir/settings" ]; then break; fi
        tries=$((tries + 1))
        active=$(sc show -p ActiveState --value "$unit")
        read_line "$run_dir/current"
        holder=$line
        read_line "$run_dir/$holder/state"
        case $active in
        inactive | failed)
            sc reset-failed "$unit" 2>/dev/null
            sc stop "$unit" 2>/dev/null
            ;;
        deactivating) sleep 0.2 ;;
        *) is_final "$line" || [ -z "$line" ] || tries=100 ;;
        esac
        if [ "$tries" -ge 20 ]; then
            answer holder "$holder"
            answer holder_state "$line"
            answer holder_about "$(cat "$run_dir/$holder/about" 2>/dev/null)"
            rm -rf "$dir"
            [ "$active" != deactivating ] || [ -n "$holder" ] || refuse busy "has processes of an earlier deployment that hang in the kernel and cannot be killed; reboot it"
            [ "$active" = failed ] || [ "$active" = inactive ] || refuse busy "another deployment is at work: ${holder:-unknown}, $line"
            no no-unit "systemd could not start $unit: $complaint"
        fi
        sleep 0.1
    done
    answer started yes
}

main </dev/null
exit
