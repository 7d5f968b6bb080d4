# What is looked at before a deployment begins. secrets: yes where some are to be put in place as well, same where they are there already, only where
# nothing else is meant.
# inputs: check_mode just_built rollback_to need_nix_kib need_boot_kib expected_system secrets until_reboot
# needs: base allowed boot_files boot_loader complain controller expected_system free_space live system tested_boot_default tools_work committed_live
# shellcheck shell=sh

# require_tools: what all else rests on.
require_tools() {
    local needed
    for needed in nix-store nix-env systemctl systemd-run flock timeout awk find xargs; do
        command -v "$needed" >/dev/null || refuse_system no-tool "has no $needed in $PATH"
    done
    tools_work || refuse_system broken-tool "has a timeout or readlink in $PATH that does not do its work"
}

# preflight: refuses, or ends here where there is nothing to do, or says what there is. $valid is whether the host has the system.
preflight() {
    valid=yes
    # What it runs now: another deployment, which was waited for, may have switched it.
    [ "$secrets" != only ] || {
        new=$(live_system)
        answer toplevel "$new"
    }
    [ "$just_built" = yes ] || nix-store --check-validity "$new" 2>/dev/null || valid=no
    # In check mode it may have been evaluated and not built.
    [ "$valid" = yes ] || { [ "$check_mode" = yes ] && [ -z "$rollback_to" ]; } || refuse_system not-valid "does not have $new in its store"
    answer valid "$valid"
    new_live=$new
    if [ "$valid" = yes ]; then
        look_at_system
        answer new_live "$new_live"
    fi
    note_systems
    keeps_system=no
    if [ "$secrets" = only ]; then
        keeps_system=yes
    elif is_as_meant; then
        case $secrets in
        '' | same)
            answer_unchanged
            exit 0
            ;;
        esac
        # It may wait for a boot.
        [ "$live" != "$new_live" ] || keeps_system=yes
    fi
    [ "$keeps_system" = no ] || answer only_secrets yes
    answer previous_live "$live"
    answer previous_boot "$default"
    # The supervisor looks again, when nobody else can begin a deployment any more.
    as_expected "$default" || refuse_system "$code" "$complaint"
}

# is_as_meant: is_unchanged, or what is to run until the next reboot does so.
is_as_meant() {
    ! is_unchanged || return 0
    [ "$until_reboot" = yes ] && [ "$live" = "$new_live" ] && nothing_is_open && [ -n "$(kept_live "$live")" ] || return 1
    # What that reboot starts.
    loader_names "$default" || [ "$?" = 2 ] || return 1
    answer until_reboot yes
}

# require_free_space DIRECTORY KIB
require_free_space() {
    [ -d "$1" ] || return 0
    free_kib "$1"
    [ "${free:-$2}" -ge "$2" ] || refuse_system no-space "has $free KiB free on $1, and needs $2 KiB; $space_helps, or ask for less (deploy_flake_min_free_space.${1#/})"
}

# look_at_host: whether a deployment can begin on it.
look_at_host() {
    # What is not tried, nobody confirms; secrets alone are tried in any case.
    [ "$mode:$keeps_system" = boot:no ] || ! is_controller || refuse_system unproven-way-in "$from_itself"
    [ "$keeps_system" = no ] || return 0
    # While a deployment is open, that is its doing: it is busy, or is repaired first. The supervisor looks again.
    ! nothing_is_open || tested_boot_default "$live" "$default" || refuse_system "$code" "$complaint"
    # Its installer would write into a directory that the firmware does not know, and say that all is well.
    ask_loader
    [ -z "$loader_lacks" ] || allowed boot_not_mounted || refuse_system boot-not-mounted "refuses a new system: $loader_lacks should be mounted, and is not, so the boot loader cannot be written; mount it ('systemctl start' of its unit, or 'mount'), or allow 'boot_not_mounted' (deploy_flake_allow)"
    require_free_space /nix "$need_nix_kib"
    # Unless the operator has said how much there must be.
    if [ -n "$need_boot_kib" ]; then require_free_space /boot "$need_boot_kib"; else boot_files_fit || refuse_system "$code" "$complaint"; fi
}
