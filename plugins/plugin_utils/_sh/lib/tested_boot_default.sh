# facts: new new_live
# needs: base allowed booted committed_live complain
# shellcheck shell=sh

# tested_boot_default LIVE DEFAULT: whether the host would boot what it runs, or that does not matter; complains where not.
# A specialisation boots from the entry of its own; the boot default is the system that it belongs to. What runs may be deployed, which keeps
# it. So may another one where what runs was confirmed, and is to run until the next reboot: that is what a failure leads back to.
tested_boot_default() {
    local booted why_not
    [ "$mode" = boot ] || [ -z "$2" ] || is_system_of "$1" "$2" || [ "$2" = "$new" ] || [ "$1" = "$new_live" ] || allowed untested_boot_default || runs_until_reboot "$1" && return
    booted=$(leads_to /run/booted-system)
    if [ "$1" = "$booted" ] && committed_live "$2"; then
        # A reboot would lead back to what somebody may have left on purpose.
        why_not="that was tested and committed, and yet the host was booted with what it runs: somebody has chosen it in the boot menu, or the boot loader has fallen back to it. \
Keep what runs with a rollback to it (the playbook rollback with deploy_flake_rollback_toplevel), deploy either of the two, or reboot the host to leave it,"
    elif [ "$1" = "$booted" ] || committed_live "$1"; then
        why_not="that was made the boot default without being tested, and waits for a reboot. Reboot the host into it first (the playbook reboot), deploy either of the two,"
    else
        why_not="what runs was tested and never confirmed. Deploy either of the two, reboot the host, which ends the test,"
    fi
    complain untested-boot-default "runs $1, but would boot $2: $why_not or allow 'untested_boot_default' (deploy_flake_allow): after a failure it would be left as it is now"
}
