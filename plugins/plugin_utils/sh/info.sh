# What runs, what booted, what would boot, and how it came to be. Changes nothing.
# shellcheck shell=sh

main() {
    answer_begin
    answer current "$(readlink -f /run/current-system)"
    [ ! -e /run/booted-system ] || answer booted "$(readlink -f /run/booted-system)"
    answer boot_default "$(boot_default)"
    answer generation "$(current_generation)"
    answer hostname "$(uname -n)"
    answer nixos_version "$(cat /run/current-system/nixos-version 2>/dev/null)"
    answer configuration_revision "$(timeout -k 5 10 nixos-version --configuration-revision 2>/dev/null)"
    for part in initrd kernel kernel-modules; do
        [ "$(readlink -f "/run/booted-system/$part")" = "$(readlink -f "/run/current-system/$part")" ] || answer reboot_for "$part"
    done
    answer manager "$(sc is-system-running 2>/dev/null)"
    failed_units | while read -r failed; do answer failed_unit "$failed"; done
    for link in "$profile"-*-link; do
        [ -L "$link" ] || continue
        number=${link#"$profile"-}
        answer generation_of "${number%-link} $(stat -c %Y "$link") $(readlink -f "$link")"
    done
    if [ "$(id -u)" = 0 ]; then
        [ ! -e "$var_dir/deployments.jsonl" ] || tail -n "$deployments" "$var_dir/deployments.jsonl" | while read -r each; do answer deployment "$each"; done
        read_line "$run_dir/current"
        open=$line
        [ -n "$open" ] || open=$(open_field id)
        if [ -n "$open" ]; then
            answer open "$open"
            read_line "$run_dir/$open/state"
            answer open_state "$line"
            answer open_unit "$(sc show -p ActiveState --value "$unit")"
        fi
        if load_trial; then
            answer trial "$trial_new"
            if trial_under_way; then answer trial_at_work yes; else answer trial_outcome "$(trial_outcome)"; fi
        fi
    fi
    answer end yes
}

main </dev/null
exit
