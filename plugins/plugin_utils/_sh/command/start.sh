# Starts the supervisor of a new deployment, and waits for news of it.
# since_boot: the boot id of when the host was looked at, or the system built. preflight: whether to look now. program, settings: what the
# units run, and what it has to know, as assignments. about: how the record begins. install_bootloader: yes or nothing.
# seen_live, seen_boot: what ran and what booted when the host was looked at.
# inputs: since_boot new preflight program settings about login_user allow mode install_bootloader runtime_limit stop_limit secrets
# inputs where preflight=yes: check_mode just_built rollback_to specialisation over_ssh need_nix_kib need_boot_kib expected_system from
# inputs where preflight=no: new_live seen_live seen_boot
# programs of units: program=deployment
# settings of units: settings=deployment
# facts: previous_live previous_boot
# needs: base busy deployment_state free_space interpreter lasting_unit old_builds own_directory own_storage preflight quote states
# needs: staged_secrets system
# shellcheck shell=sh

main() {
    local this_boot
    begin
    # This script may run again when the host has lost power in the middle. What became of the first run is for the next deployment to repair.
    read -r this_boot </proc/sys/kernel/random/boot_id
    if [ "$this_boot" = "$since_boot" ]; then
        [ "$preflight" = no ] || preflight_unless_begun
        refuse_if_busy
        tidy_builds
        if make_directory; then start_supervisor; fi
    fi
    tell
}

is_recorded() { grep -q "^{\"id\": \"$id\"" "$var_dir/deployments.jsonl" 2>/dev/null; }

# preflight_unless_begun: this script may run again, after a connection that was lost. What the host was like before, its first run
# has noted.
preflight_unless_begun() {
    if [ -e "$dir/state" ] || is_recorded; then
        # shellcheck disable=SC1091
        answer new_live "$([ ! -e "$dir/settings" ] || { . "$dir/settings" && printf '%s' "$new_live"; })"
        answer previous_live "${previous_live-}"
        answer previous_boot "${previous_boot-}"
    else
        require_tools
        preflight
        seen_live=$live
        seen_boot=$default
        look_at_host
    fi
}

# make_directory: no, if there is nothing left to start.
make_directory() {
    local guard_deadline
    own_directory "$run_dir" || refuse_system no-directory "$run_dir is not a directory of root's alone"
    own_directory "$var_dir" || refuse_system no-directory "$var_dir is not a directory of root's alone"
    # This very script again, after a connection that was lost: all is over already, or the first run has made it.
    if is_recorded; then return 1; fi
    if mkdir -m 0700 "$dir" 2>/dev/null; then
        # Without it, it works as long as nobody else fills /run.
        mount_own_storage "$dir" || no_storage
        printf '' >"$dir/storage-is-settled" || no_room
    else
        [ -d "$dir" ] || no_room
        [ ! -e "$dir/state" ] || return 1
        # Where the first run has died, this one takes its place; a third one may wait for it.
        if ! wait_for_storage; then
            # That took its time: the third one may have begun.
            is_mounted "$dir" || never_comes "$dir" || [ -e "$dir/storage-is-settled" ] || [ -e "$dir/state" ] || no_storage
            [ -d "$dir" ] || no_storage
            printf '' >"$dir/storage-is-settled" || no_room
        fi
        [ ! -e "$dir/state" ] && ! is_recorded || return 1
    fi
    clock
    guard_deadline=$((uptime + runtime_limit + 2 * stop_limit + 30))
    find_interpreter
    # Whole at once: a first run that has lost its connection may have started a shell which is just reading them.
    printf '' >>"$dir/states" || no_room
    printf '%s\n' "$about" >"$dir/about.$$" && mv -f "$dir/about.$$" "$dir/about" &&
        printf '%s\n' "$program" >"$dir/program.$$" && mv -f "$dir/program.$$" "$dir/program" &&
        {
            printf '%s\n' "$settings" &&
                fact new "$new" &&
                fact new_live "$new_live" &&
                fact interpreter "$interpreter" &&
                fact login_user "${login_user:-${SUDO_USER:-${DOAS_USER:-root}}}" &&
                fact guard_deadline "$guard_deadline" &&
                fact allow "$allow"
        } >"$dir/settings.$$" && mv -f "$dir/settings.$$" "$dir/settings" || no_room
    return 0
}

no_room() {
    remove_directory "$dir"
    refuse_system no-space "cannot write to $run_dir: $(df -h "$run_dir" | tail -n 1)"
}

# wait_for_storage: the first run may still be at it, and what is written before its mount comes is hidden by it. It takes two minutes at most.
wait_for_storage() {
    local wait_until
    clock
    wait_until=$((uptime + 120))
    until [ -e "$dir/storage-is-settled" ] || [ -e "$dir/state" ] || is_recorded; do
        clock
        [ "$uptime" -lt "$wait_until" ] || return 1
        sleep 0.2
    done
}

no_storage() {
    remove_directory "$dir"
    refuse_system no-unit "systemd did not say whether it has mounted a file system at $dir, so nothing was begun; look at 'systemctl status $dir' and deploy again"
}

# refuse_if_switched: whoever came before may have ended meanwhile, perhaps with this very system. Then it has to be looked at again; or
# nothing is left to do, where the host was there already when it was looked at, and only the end of that deployment was not. $may_start:
# not where that end is still to come.
refuse_if_switched() {
    may_start=yes
    # This very script again, which has begun before.
    [ ! -e "$dir/state" ] || return 0
    # Asked first: the unit ends after all that is looked at below.
    if [ "$seen_boot" = "$new" ] && { [ "$seen_live" = "$new_live" ] || [ "$mode" = boot ]; }; then
        case $(sc show -p ActiveState --value "$unit") in inactive | failed) ;; *) may_start=no ;; esac
    fi
    note_systems
    if [ "$live" != "$seen_live" ] || [ "$default" != "$seen_boot" ] || { [ "$secrets" = only ] && [ "$live" != "$new" ]; }; then
        remove_directory "$dir"
        answer switched yes
        refuse busy "was switched by somebody else since it was looked at"
    fi
    [ -z "$secrets" ] || still_compared || {
        remove_directory "$dir"
        answer send_secrets yes
        refuse "$code" "$complaint"
    }
    case $secrets in
    '' | same)
        is_as_meant || return 0
        remove_directory "$dir"
        answer_unchanged
        exit 0
        ;;
    esac
}

# The unit's name is the lock.
start_supervisor() {
    local active holder may_start said tries
    tries=0
    said=
    while :; do
        refuse_if_switched
        if [ "$may_start" = yes ]; then
            # shellcheck disable=SC2086 # the interpreter and the properties are words
            said=$(timeout -k 5 60 systemd-run --quiet --collect --no-ask-password --service-type=exec --unit="$unit" \
                --description="deploys $new ($id)" \
                $lasting -p KillMode=control-group -p Restart=no -p Delegate=yes \
                -p RuntimeMaxSec="$runtime_limit" -p TimeoutStopSec="$stop_limit" \
                -p ExecStopPost="$interpreter $dir/program undo $dir" \
                -E DEPLOY_FLAKE_ID="$id" ${LOCALE_ARCHIVE:+-E LOCALE_ARCHIVE} ${install_bootloader:+-E NIXOS_INSTALL_BOOTLOADER=1} \
                $interpreter "$dir/program" supervise "$dir" 2>&1) && break
        fi
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
            # It frees a name that has stuck; but somebody else may have got the name meanwhile, and would be stopped.
            [ "$tries" -lt 5 ] || sc stop "$unit" 2>/dev/null
            ;;
        deactivating) sleep 0.2 ;;
        *) is_final "$line" || [ -z "$line" ] || tries=100 ;;
        esac
        if [ "$tries" -ge 20 ]; then
            answer holder "$holder"
            answer holder_about "$(cat "$run_dir/$holder/about" 2>/dev/null)"
            remove_directory "$dir"
            [ "$active" != deactivating ] || [ -n "$holder" ] || refuse busy "has processes of an earlier deployment that hang in the kernel and cannot be killed; reboot it"
            [ "$active" = failed ] || [ "$active" = inactive ] || refuse busy "another deployment is in progress: ${holder:-unknown}, $line"
            refuse_system no-unit "$(no_unit "$unit" "$said")"
        fi
        sleep 0.1
    done
}

main </dev/null
exit
