# Check mode: what a deployment would do here. Finds it out in a unit of its own, and leaves nothing behind.
# needs: base boot_files booted differences durable free_space interpreter quote
# shellcheck shell=sh

# answer_for_check_mode: as far as it can be told.
answer_for_check_mode() {
    local activated
    another_deployment
    # What would be activated, where that is another one than what would be booted.
    activated=${new_live:-$new}
    [ "$mode" = test ] || activated=$new
    if [ "$valid" = yes ]; then
        answer_reboot
        run_check_mode
        if [ "$diff" = yes ]; then
            if [ "$mode" = boot ]; then differences "$default" "$new"; else differences "$live" "$activated"; fi
        fi
    fi
}

# A deployment that is in progress would be waited for. One that was left unfinished would be repaired first.
another_deployment() {
    local holder
    read_line "$run_dir/current"
    holder=${line:-$(open_field id)}
    case $(sc show -p ActiveState --value "$unit") in
    active | activating | deactivating | reloading)
        read_line "$run_dir/$holder/state"
        answer holder "$holder"
        answer holder_about "$(cat "$run_dir/$holder/about" 2>/dev/null)"
        refuse busy "another deployment is in progress: ${holder:-unknown}, $line"
        ;;
    esac
    # Secrets that could not be put back keep every later one from going on.
    [ -n "$holder" ] || {
        read_line "$var_dir/secrets.open/id"
        holder=$line
    }
    [ -z "$holder" ] || answer unfinished "$holder"
}

answer_reboot() {
    answer_reboot_for "$activated"
    answer inhibitors_new "$(inhibitors "$activated")"
    answer inhibitors_current "$(inhibitors /run/current-system)"
    answer inhibitors_booted "$(inhibitors /run/booted-system)"
}

inhibitors() { [ ! -r "$1/switch-inhibitors" ] || head -c 65536 "$1/switch-inhibitors"; }

# The unit ends everything that it has started, whatever becomes of the connection, and its directory goes with it. It is
# no deployment: a real one is not held up by it, but for the moment that switch-to-configuration holds its own lock.
run_check_mode() {
    local check_unit
    check_unit=deploy-flake-check-$id
    # This script may run a second time, after a connection that was lost.
    sc stop "$check_unit.service" 2>/dev/null
    find_interpreter
    # shellcheck disable=SC2086 # the interpreter may be two words
    {
        printf '%s\n' "$settings" &&
            fact new "$new" &&
            fact new_live "$activated" &&
            fact dir "/run/$check_unit" &&
            fact id "$id" &&
            fact only_secrets "$keeps_system" &&
            { [ "$keeps_system" = no ] || fact mode test; } &&
            printf '%s\n' "$check_mode_program"
    } |
        timeout -k 5 $((check_mode_limit + 45)) systemd-run --quiet --collect --wait --pipe --no-ask-password --service-type=exec \
            --unit="$check_unit" --description="looks at what a deployment of $new would do" \
            -p KillMode=control-group -p WorkingDirectory=/ -p UMask=0077 -p OOMPolicy=continue \
            -p RuntimeDirectory="$check_unit" -p RuntimeDirectoryMode=0700 \
            -p RuntimeMaxSec="$check_mode_limit" -p TimeoutStopSec=20 ${LOCALE_ARCHIVE:+-E LOCALE_ARCHIVE} \
            $interpreter -s 2>/dev/null | cat
}

# answer_free_space: what is free, and what $new would take on /boot.
answer_free_space() {
    free_kib /nix
    answer free_nix_kib "$free"
    kernels_on_boot || return 0
    free_kib /boot
    answer free_boot_kib "$free"
    [ "$valid" = no ] || answer boot_files_kib "$(boot_files_kib "$new")"
}
