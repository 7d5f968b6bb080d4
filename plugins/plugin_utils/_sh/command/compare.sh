# What changes from one system of this host to another. Each is a store path, the number of a generation, running, booted, boot-default, or
# previous, which is the generation before the boot default.
# inputs: old new
# needs: base differences generations profile
# shellcheck shell=sh

main() {
    local before
    answer_begin
    require_root
    named "$old"
    before=$named
    named "$new"
    answer from "$before"
    answer to "$named"
    differences "$before" "$named"
}

# named WORD: the system that it means, in $named.
named() {
    local chosen
    named=
    case $1 in
    running) named=$(leads_to /run/current-system) ;;
    booted) named=$(leads_to /run/booted-system) ;;
    boot-default) named=$(boot_default) ;;
    /nix/store/*) named=$1 ;;
    *)
        require_generation "$1"
        named=$(leads_to "$profile-$chosen-link")
        ;;
    esac
    [ -n "$named" ] && nix-store --check-validity "$named" 2>/dev/null || refuse not-valid "does not have ${named:-what is $1} in its store"
}

main </dev/null
exit
