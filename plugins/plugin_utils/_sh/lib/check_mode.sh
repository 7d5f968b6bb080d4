# Check mode: what a deployment would do here. Finds it out in a unit of its own, and leaves nothing behind.
# needs: base boot_files booted differences durable free_space interpreter quote
# shellcheck shell=sh

look_ahead() {
    another_deployment
    # What would be activated, where that is another one than what would be booted.
    activated=${new_live:-$new}
    [ "$mode" = test ] || activated=$new
    if [ "$valid" = yes ]; then
        answer_reboot
        run_foresee
        if [ "$diff" = yes ]; then
            if [ "$mode" = boot ]; then differences "$default" "$new"; else differences "$live" "$activated"; fi
        fi
    fi
}

# A deployment that is at work would be waited for. One that was left unfinished would be repaired first.
another_deployment() {
    local holder
    read_line "$run_dir/current"
    holder=${line:-$(open_field id)}
    case $(sc show -p ActiveState --value "$unit") in
    active | activating | deactivating | reloading)
        read_line "$run_dir/$holder/state"
        answer holder "$holder"
        answer holder_about "$(cat "$run_dir/$holder/about" 2>/dev/null)"
        refuse busy "another deployment is at work: ${holder:-unknown}, $line"
        ;;
    esac
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
run_foresee() {
    local foresee_unit
    foresee_unit=deploy-flake-check-$id
    # This script may run a second time, after a connection that was lost.
    sc stop "$foresee_unit.service" 2>/dev/null
    find_interpreter
    # shellcheck disable=SC2086 # the interpreter may be two words
    {
        printf '%s\n' "$settings"
        fact new "$new"
        fact new_live "$activated"
        fact dir "/run/$foresee_unit"
        printf '%s\n' "$foresee"
    } |
        timeout -k 5 $((foresee_limit + 45)) systemd-run --quiet --collect --wait --pipe --no-ask-password --service-type=exec \
            --unit="$foresee_unit" --description="looks at what a deployment of $new would do" \
            -p KillMode=control-group -p WorkingDirectory=/ -p UMask=0077 -p OOMPolicy=continue \
            -p RuntimeDirectory="$foresee_unit" -p RuntimeDirectoryMode=0700 \
            -p RuntimeMaxSec="$foresee_limit" -p TimeoutStopSec=20 ${LOCALE_ARCHIVE:+-E LOCALE_ARCHIVE} \
            $interpreter -s 2>/dev/null | cat
}

# answer_room: what is free, and what $new would take on /boot.
answer_room() {
    free_kib /nix
    answer free_nix_kib "$free"
    kernels_on_boot || return 0
    free_kib /boot
    answer free_boot_kib "$free"
    [ "$valid" = no ] || answer boot_files_kib "$(boot_files_kib "$new")"
}
