# Whether a system may be tried here, and whether there is anything to do. Before it: $new.
# inputs: mode
# needs: base boot_loader live profile roots toplevel
# shellcheck shell=sh

# yes where it is only asked whether a system would be refused: then that is the status, and nothing is said or dropped.
only_asked=no

# refuse_system REASON MESSAGE: nothing will come of this toplevel.
refuse_system() {
    [ "$only_asked" = no ] || exit 1
    drop_all_roots
    refuse "$@"
}

# look_at_system: refuses it, or sets $new_live.
look_at_system() {
    choose_live_system
    look_at_toplevel "$new"
    [ "$new_live" = "$new" ] || look_at_toplevel "$new_live"
}

# note_systems: what runs and what boots, in $live and $default.
note_systems() {
    live=$(live_system)
    default=$(boot_default)
}

# nothing_is_open: no deployment is in progress, nor was one left unfinished.
nothing_is_open() { [ ! -e "$var_dir/open.json" ] && [ ! -e "$run_dir/current" ]; }

# is_unchanged: whether there is nothing to do, nor anything to repair. Where the boot loader certainly starts another system than the profile
# names, its side has to be written again; where that cannot be told, the profile is believed, and answer_unchanged says so.
is_unchanged() {
    [ "$default" = "$new" ] && { [ "$live" = "$new_live" ] || [ "$mode" = boot ]; } && nothing_is_open || return 1
    loader_names "$new" || [ "$?" = 2 ]
}

# answer_unchanged: after is_unchanged; and lets go of what was kept for a deployment.
answer_unchanged() {
    drop_all_roots
    answer previous_live "$live"
    answer previous_boot "$default"
    answer unchanged yes
    answer_loader
    answer generation "$(current_generation)"
}
