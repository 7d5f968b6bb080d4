# What a deployment would find: whether the system may be tried here, and whether there is anything to do.
# From the controller: new, specialisation, mode, over_ssh, allow, and for look_first check_mode, just_built (and rooted),
# need_nix_kib, need_boot_kib (empty for what the new kernel and initrd need). `no` says what is wrong. room.sh goes with it.
# needs: common free_space
# shellcheck shell=sh

# look_first: refuses, or ends here where there is nothing to do, or says what there is.
look_first() {
    for needed in nix-store nix-env systemctl systemd-run flock timeout; do
        command -v "$needed" >/dev/null || no no-tool "has no $needed in $PATH"
    done
    tools_work || no broken-tool "has a timeout or readlink in $PATH that does not do its work"
    [ -z "$rollback_to" ] || choose_target
    valid=yes
    [ "$just_built" = yes ] || nix-store --check-validity "$new" 2>/dev/null || valid=no
    # In check mode it may have been evaluated and not built.
    [ "$valid" = yes ] || { [ "$check_mode" = yes ] && [ -z "$rollback_to" ]; } || no not-valid "does not have $new in its store"
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
}

# look_at_system: sets $new_live.
look_at_system() {
    choose_live_system
    look_at_toplevel "$new"
    [ "$new_live" = "$new" ] || look_at_toplevel "$new_live"
}

note_systems() {
    live=$(readlink -f /run/current-system)
    default=$(boot_default)
}

# is_unchanged: whether there is nothing to do, nor anything to repair.
is_unchanged() {
    [ "$default" = "$new" ] && { [ "$live" = "$new_live" ] || [ "$mode" = boot ]; } && [ ! -e "$var_dir/open.json" ] && [ ! -e "$run_dir/current" ]
}

answer_unchanged() {
    drop_all_roots
    answer previous_live "$live"
    answer previous_boot "$default"
    answer unchanged yes
    answer generation "$(current_generation)"
}

# What is activated: the system itself, or one of its specialisations. The boot default is the system itself.
choose_live_system() {
    new_live=$new
    if [ -n "$specialisation" ]; then
        new_live=
        case $specialisation in
        */* | . | ..) ;;
        *) [ ! -e "$new/specialisation/$specialisation" ] || new_live=$(readlink -f "$new/specialisation/$specialisation") ;;
        esac
        their_names=
        for one in "$new"/specialisation/*; do
            [ ! -e "$one" ] || their_names="$their_names${their_names:+, }${one##*/}"
        done
        [ -n "$new_live" ] || no no-specialisation "has no specialisation '$specialisation' in $new, which has ${their_names:-none}"
    fi
}

# look_at_toplevel SYSTEM
look_at_toplevel() {
    for part in nixos-version bin/switch-to-configuration; do
        [ -e "$1/$part" ] || no not-a-system "refuses $1: it is not a NixOS system, it has no $part"
    done
    hostname_file=$1/etc/hostname
    if [ -e "$hostname_file" ] && ! allowed other_hostname; then
        read -r its_name <"$hostname_file"
        read_line /proc/sys/kernel/hostname
        [ "$its_name" = "$line" ] || no other-hostname "refuses the new system: it is for a host named $its_name, and this one is $line"
    fi
    if [ "$over_ssh" = yes ] && ! allowed no_ssh && [ -d "$1/etc/systemd/system" ]; then
        wanted=no
        for unit_file in "$1"/etc/systemd/system/*.wants/sshd.service "$1"/etc/systemd/system/*.wants/ssh.service \
            "$1"/etc/systemd/system/*.wants/sshd.socket "$1"/etc/systemd/system/*.wants/ssh.socket; do
            [ ! -e "$unit_file" ] && [ ! -L "$unit_file" ] || wanted=yes
        done
        [ "$wanted" = yes ] || no no-ssh "refuses the new system: it starts no ssh unit, and this host is deployed over ssh"
    fi
    if [ -r "$1/system" ] && [ -r /run/current-system/system ] && ! allowed other_architecture; then
        read -r its_system <"$1/system" || :
        read -r our_system </run/current-system/system || :
        [ "$its_system" = "$our_system" ] || no other-architecture "refuses the new system: it is for $its_system, and this host is $our_system"
    fi
}

has_room() {
    [ -d "$1" ] || return 0
    free_kib "$1"
    [ "$free" -ge "$2" ] || no no-space "has $free KiB free on $1, and needs $2 KiB"
}

look_at_host() {
    # While a deployment is open, that is its doing: it is busy, or is repaired first. The supervisor looks again.
    [ -e "$run_dir/current" ] || [ -e "$var_dir/open.json" ] || complaint=$(tested_boot_default "$live" "$default") || no untested-boot-default "$complaint"
    has_room /nix "$need_nix_kib"
    # Unless the operator has said how much there must be.
    if [ -n "$need_boot_kib" ]; then has_room /boot "$need_boot_kib"; else complaint=$(boot_files_fit) || no no-space "$complaint"; fi
}
