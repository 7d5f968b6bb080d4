# What else switches the host.
# needs: base each_first_word
# shellcheck shell=sh

# switching_units PATTERN…: what is switching the host beside us; and the units of these names that are active.
switching_units() {
    each_first_word print_line "$(sc list-units --state=active,activating,deactivating --plain --no-legend --full 'nixos-upgrade.service' 'nixos-rebuild-switch-to-configuration*' "$@")"
}
