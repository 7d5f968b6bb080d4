# Removes generations, and what only they have kept. program prune|garbage DIRECTORY; the values are wanted (numbers and systems, one
# generation a line), boot_limit, collect, garbage_limit.
# inputs: wanted boot_limit collect garbage_limit
# facts: interpreter
# needs: base boot_loader durable free_space log on_disk process profile switch switching_units trial
# shellcheck shell=sh disable=SC1091

# Links that are here are still roots of the garbage collector, but no generations.
aside=$profile-deploy-flake-removed

main() {
    dir=$2
    . "$dir/values"
    id=${dir##*/prune-}
    trap 'end_child; exit 143' TERM
    cd /
    open_log log
    case $1 in
    prune) prune ;;
    garbage) garbage ;;
    esac
}

# end_with RESULT: by rename, so that it is whole.
end_with() {
    printf '%s\n' "$1" >"$dir/result.new" && mv -f "$dir/result.new" "$dir/result"
    exit 0
}

prune() {
    local busy
    : >>"$dir/removed"
    # It is started a second time where its first start was not heard of.
    mkdir "$dir/begun" 2>/dev/null || exit 0
    busy=$(switching_units 'deploy-flake-guard-*' 'deploy-flake-repair-*' | tr '\n' ' ')
    [ -z "$busy" ] || end_with "busy ${busy% }"
    default=$(boot_default)
    [ -n "$default" ] || end_with "no-profile"
    set_aside
    if [ -d "$aside" ]; then write_boot_entries; fi
    [ "$collect" = yes ] || end_with ok
    # shellcheck disable=SC2086 # the interpreter may be two words
    timeout -k 5 60 systemd-run --quiet --collect --no-ask-password --service-type=exec --unit="deploy-flake-garbage-$id.service" \
        --description="collects garbage ($id)" -p WorkingDirectory=/ -p UMask=0077 -p RuntimeMaxSec="$((garbage_limit + 60))" -p Nice=10 \
        $interpreter "$dir/program" garbage "$dir" >&7 2>&1 || end_with "no-garbage-unit"
}

# What the controller chose, unless it has come to be needed meanwhile.
set_aside() {
    local current link needed number system
    needed=" $default $(leads_to /run/current-system) $(leads_to /run/booted-system) $(open_field new) $(open_field previous_live) $(open_field previous_boot) "
    # Between its preparation and its boot.
    ! load_trial || ! trial_in_progress || needed="$needed$trial_new "
    current=$(current_generation)
    while read -r number system; do
        link=$profile-$number-link
        [ -n "$number" ] && [ "$number" != "$current" ] && [ "$(readlink -f "$link")" = "$system" ] && ! is_needed "$link" "$needed" || continue
        mkdir -p "$aside" && mv -f "$link" "$aside/" && printf '%s\n' "$number" >>"$dir/removed"
    done <<END
$wanted
END
}

# is_needed LINK SYSTEMS: whether a generation or one of its specialisations is one of them, each between spaces.
is_needed() {
    local each
    for each in "$1" "$1"/specialisation/*; do
        [ -e "$each" ] || continue
        case $2 in *" $(readlink -f "$each") "*) return 0 ;; esac
    done
    return 1
}

# is_still_default: the look before the boot loader is written. Whoever held the lock may have made another system the boot default.
# shellcheck disable=SC2317 # by switch_to
is_still_default() { [ "$(boot_default)" = "$default" ]; }

# The entries of generations that are gone have to go as well: they would start what garbage collection takes away. If it can't be
# done, there are the generations again.
write_boot_entries() {
    local link
    sync -f "${profile%/*}"
    # This is no switch, so what forbids one does not matter.
    NIXOS_NO_CHECK=1
    export NIXOS_NO_CHECK
    write_loader
    # Between the look and the call somebody else has moved it, and may have written the boot loader before us: it is to start theirs.
    if [ "$switch_status" = 0 ] && ! is_still_default; then
        printf '' >"$dir/boot-written"
        default=$(boot_default)
        write_loader
        # Moved once more, before it was called: they write it.
        [ "$switch_status" != "$taken" ] || switch_status=0
    fi
    # What they start is collected next.
    [ "$switch_status" != 0 ] || sync_boot_side "$boot_limit" || switch_status=$?
    if [ "$switch_status" != 0 ]; then
        for link in "$aside"/*; do
            # One that an interrupted removal left may have its number taken by now.
            [ ! -L "$link" ] || [ -L "${profile%/*}/${link##*/}" ] || mv -f "$link" "${profile%/*}/"
        done
        rm -rf "$aside"
        sync -f "${profile%/*}"
        printf '' >"$dir/removed"
        [ "$switch_status" != "$taken" ] || end_with superseded
        end_with "boot-failed $switch_status"
    fi
    printf '' >"$dir/boot-written"
    rm -rf "$aside"
    sync -f "${profile%/*}"
}

# write_loader: twice, since a lock may be held. A specialisation that the boot loader starts stays what it starts.
write_loader() {
    local each starts
    starts=$default
    ask_loader
    for each in "$default"/specialisation/*; do
        [ -z "$loader_starts" ] || [ "$(readlink -f "$each")" != "$loader_starts" ] || starts=$loader_starts
    done
    switch_to "$boot_limit" "$starts" boot is_still_default
    [ "$switch_status" = 0 ] || switch_to "$boot_limit" "$starts" boot is_still_default
}

# Without the lock: it may take long, and a deployment keeps what it needs by roots of its own.
garbage() {
    local before
    free_kib /nix
    before=$free
    # It names each path; the last lines say how much it was.
    { limited "$garbage_limit" nix-store --gc || echo "$status" >"$dir/garbage-status"; } 2>&1 | tail -n 20 >"$dir/garbage-log"
    read_line "$dir/garbage-status"
    free_kib /nix
    printf '%s %s %s\n' "${line:-0}" "$before" "$free" >"$dir/garbage"
    end_with ok
}

main "$@"
exit
