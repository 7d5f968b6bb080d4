# What runs, what booted, what would boot, and how it came to be. Changes nothing. deployments: how many records to tell;
# revisions: yes where those of all generations are asked for.
# inputs: deployments revisions
# needs: base boot_loader booted committed_live durable file_systems nixos profile restarts revision trial trial_outcome
# needs: unit_environment units
# shellcheck shell=sh

main() {
    local default failed live
    answer_begin
    require_nixos
    answer root "$(id -u)"
    answer now "$(date +%s)"
    answer_systems
    answer_reboot_for "${default:-/run/current-system}"
    answer manager "$(sc is-system-running 2>/dev/null)"
    # systemd's own word knows nothing of those that fail and are started again, for ever.
    { failed_units && looping 2 | sed -n 's/ failing$//p; s/ again$//p'; } | while read -r failed; do answer failed_unit "$failed"; done
    generations
    answer_file_systems
    answer_host_keys
    [ ! -d "$profile-deploy-flake-removed" ] || answer unfinished_removal yes
    [ "$(id -u)" != 0 ] || answer_records
    answer open_unit "$(sc show -p ActiveState --value "$unit" 2>/dev/null)"
    answer open_id "$(unit_environment DEPLOY_FLAKE_ID "$unit")"
}

# answer_systems: what runs, what booted, what would boot. What runs is in $live, what would boot in $default.
answer_systems() {
    local names revision
    live=$(leads_to /run/current-system)
    default=$(boot_default)
    answer current "$live"
    [ ! -e /run/booted-system ] || answer booted "$(leads_to /run/booted-system)"
    answer boot_default "$default"
    answer generation "$(current_generation)"
    names=0
    loader_names "$default" || names=$?
    answer_loader
    # Also where it starts nothing at all.
    [ "$names" != 1 ] || answer loader_disagrees yes
    answer hostname "$(uname -n)"
    answer kernel "$(uname -r)"
    answer nixos_version "$(cat /run/current-system/nixos-version 2>/dev/null)"
    revision=$(revision_of "$live")
    answer configuration_revision "$revision"
    [ "$default" = "$live" ] || revision=$(revision_of "$default")
    answer boot_default_revision "$revision"
}

# answer_host_keys: the public ones of those that sshd's configuration names; where it names none, of those that sshd looks for by itself.
answer_host_keys() {
    local key named
    named=$(sed -n 's/^[[:space:]]*[Hh][Oo][Ss][Tt][Kk][Ee][Yy][[:space:]=]\{1,\}"\{0,1\}\([^"[:space:]]*\).*/\1/p' /etc/ssh/sshd_config 2>/dev/null)
    # shellcheck disable=SC2086 # names, or a pattern
    printf '%s\n' ${named:-/etc/ssh/ssh_host_*_key} | sort -u | while read -r key; do
        [ -r "$key.pub" ] || continue
        read_line "$key.pub"
        answer ssh_host_key "$line"
    done
}

# answer_records: what only root may read: deployments that have ended, one that is open, a trial.
answer_records() {
    local each field open
    recorded_lines | tail -n "$deployments" | while read -r each; do answer deployment "$each"; done
    [ "$live" = "$default" ] || answer live_kept "$(kept_live "$live")"
    # A rollback's line does not say what the system was built from; the line of its first deployment does.
    answer deployment_of_current "$(recorded_lines | grep -F -e "\"to\": \"$live\"" -e "\"to_live\": \"$live\"" |
        grep -E '"(nar_hash|revision)": "[^"]' | tail -n 1)"
    [ "$revisions" != yes ] || recorded_revisions
    read_line "$run_dir/current"
    open=$line
    [ -n "$open" ] || open=$(open_field id)
    if [ -n "$open" ]; then
        answer open "$open"
        read_line "$run_dir/$open/state"
        answer open_state "$line"
        for field in new previous_live previous_boot; do answer open_system "$(open_field "$field")"; done
    fi
    if load_trial; then
        answer trial "$trial_new"
        if trial_in_progress; then answer trial_in_progress yes; else answer trial_outcome "$(trial_outcome)"; fi
    fi
}

# recorded_revisions: of the systems that were deployed from a git repository, also where they do not know it themselves. A quote inside of a
# text is written with a backslash, so no message is taken for a field.
recorded_revisions() {
    local each
    recorded_lines | sed -n 's/.*"revision": "\([^"\\]\{1,\}\)".*"to": "\([^"\\]\{1,\}\)".*/\2 \1/p' | tail -n 1000 |
        while read -r each; do answer recorded_revision "$each"; done
}

# Each as lines: number and time, system, kernel version, NixOS version, and the specialisations with their systems. There may be
# hundreds, so no command is run for one, unless its revision is asked for.
generations() {
    local about link made number specialisation system
    set -- "$profile"-*-link
    [ -L "$1" ] || return 0
    stat -c '%Y %n' "$@" | while read -r made link; do
        number=${link#"$profile"-}
        number=${number%-link}
        case $number in
        '' | *[!0-9]*) continue ;;
        esac
        resolve "$link"
        system=$resolved
        kernel_version "$system"
        read_line "$system/nixos-version"
        about="$number $made
$system
$kernel
$line"
        for specialisation in "$system"/specialisation/*; do
            [ -e "$specialisation" ] || continue
            resolve "$specialisation"
            about="$about
$resolved ${specialisation##*/}"
        done
        answer generation_of "$about"
        # A program for each; who asks for it has the time.
        [ "$revisions" != yes ] || answer generation_revision "$number $(revision_of "$system")"
    done
}

# resolve LINK: what it leads to, in $resolved.
resolve() { if cd -P "$1" 2>/dev/null; then resolved=$PWD; else resolved=$(readlink "$1"); fi; }

# kernel_version SYSTEM: in $kernel.
kernel_version() {
    local modules
    kernel=
    for modules in "$1"/kernel-modules/lib/modules/*; do
        [ ! -d "$modules" ] || { kernel=${modules##*/} && return; }
    done
    [ -e "$1/kernel" ] || return 0
    kernel=$(readlink -f "$1/kernel")
    # …/HASH-linux-6.12.1/bzImage
    kernel=${kernel#/nix/store/}
    kernel=${kernel%%/*}
    kernel=${kernel#*-}
    kernel=${kernel#linux-}
}

main </dev/null
exit
