# Looks at a profile that is no NixOS system: whether there is anything to do, and whether that may be tried. It changes nothing.
# inputs: new specialisation mode over_ssh allow
# needs: base busy preflight
# shellcheck shell=sh

main() {
    answer_begin
    require_root
    require_tools
    preflight
    look_at_host
    refuse_if_busy
    # For command/start.
    read_line /proc/sys/kernel/random/boot_id
    answer boot_id "$line"
}

main </dev/null
exit
