# Looks whether there is anything to do on the host, and whether that may be tried. launch.sh then starts it: what runs in the
# deployment's units is sent only where it is needed.
# From the controller: new, specialisation, mode, over_ssh, allow, need_nix_kib, need_boot_kib (empty for what the new kernel and
# initrd need), check_mode. look.sh, room.sh and others.sh come before this, for a rollback target.sh, in check mode look_ahead.sh too.
# shellcheck shell=sh

main() {
    answer_begin
    require_root
    for needed in nix-store nix-env systemctl systemd-run flock timeout; do
        command -v "$needed" >/dev/null || no no-tool "has no $needed in $PATH"
    done
    tools_work || no broken-tool "has a timeout or readlink in $PATH that does not do its work"
    [ -z "${to+given}" ] || choose_target
    valid=yes
    nix-store --check-validity "$new" 2>/dev/null || valid=no
    # In check mode it may have been evaluated and not built.
    [ "$valid" = yes ] || { [ "$check_mode" = yes ] && [ -z "${to+given}" ]; } || no not-valid "does not have $new in its store"
    answer valid "$valid"
    new_live=$new
    if [ "$valid" = yes ]; then
        look_at_system
        answer new_live "$new_live"
    fi
    note_systems
    if is_unchanged; then
        answer_unchanged
        exit 0
    fi
    answer previous_live "$live"
    answer previous_boot "$default"
    [ "$check_mode" = no ] || answer_room
    look_at_host
    others_at_work
    # Check mode starts nothing, and lets go of the roots; a deployment that is about to begin keeps those of the build.
    [ "$check_mode" = no ] || { look_ahead; drop_all_roots; exit 0; }
    read -r boot_id </proc/sys/kernel/random/boot_id
    answer boot_id "$boot_id"
}

look_at_host() {
    # While a deployment is open, that is its doing: it is busy, or is repaired first. The supervisor looks again.
    [ -e "$run_dir/current" ] || [ -e "$var_dir/open.json" ] || complaint=$(tested_boot_default "$live" "$default") || no untested-boot-default "$complaint"
    for path in /nix /boot; do
        [ -d "$path" ] || continue
        free=$(free_kib "$path")
        case $path in /nix) needed=$need_nix_kib ;; *) needed=${need_boot_kib:-0} ;; esac
        [ "$free" -ge "$needed" ] || no no-space "has $free KiB free on $path, and needs $needed KiB"
    done
    # Unless the operator has said how much there must be.
    [ -n "$need_boot_kib" ] || complaint=$(boot_files_fit) || no no-space "$complaint"
}

main </dev/null
exit
