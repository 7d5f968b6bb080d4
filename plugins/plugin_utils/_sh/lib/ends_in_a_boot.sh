# Whether a shutdown is all that a way back needs.
# needs: manager
# shellcheck shell=sh

# ends_in_a_boot: of a host that is stopping. Only a no for certain is one: after a soft-reboot that was taken for a shutdown nobody would undo.
ends_in_a_boot() {
    soft_reboot_begins
    [ "$?" = 1 ]
}
