# What would change on this host with a new system. mode: test where what runs is compared, boot where what
# would boot is.
# inputs: new mode
# needs: base differences profile
# shellcheck shell=sh

main() {
    local old
    answer_begin
    require_root
    nix-store --check-validity "$new" 2>/dev/null || return 0
    # A host that has it already is left alone.
    if [ "$mode" = boot ]; then old=$(boot_default); else old=$(readlink -f /run/current-system); fi
    differences "$old" "$new"
}

main </dev/null
exit
