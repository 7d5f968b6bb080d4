# The beginning of a copy of a closure.
# needs: abandoned base closure own_directory
# shellcheck shell=sh

# begin_closure: the directory for it; and nothing is left of copies whose controllers were killed.
begin_closure() {
    command -v nix-store >/dev/null || refuse no-nix "has no nix-store in $PATH (is Nix installed there?)"
    name_closure
    own_directory "$run_dir" || refuse no-directory "$run_dir is not a directory of root's alone"
    drop_old_closures
    mkdir -m 0700 "$closure" 2>/dev/null || [ -d "$closure" ] || no_room
}

# drop_old_closures: those of a day ago and more without a unit, and roots without a directory.
drop_old_closures() {
    local each
    drop_abandoned closure 1440
    # The directory is there before the roots are.
    for each in "$all_closure_roots"/*; do
        [ -d "$each" ] || continue
        case ${each##*/} in
        "$boot_id".*) [ -d "$run_dir/closure-${each##*.}" ] || rm -rf "$each" ;;
        *) rm -rf "$each" ;;
        esac
    done
}

# root_closure PATHS: a file with the name of a store path is a root as well as a link is, and takes no room.
root_closure() {
    local path
    mkdir -p "$closure_roots" || refuse_root
    while read -r path; do printf '' >"$closure_roots/${path##*/}" || refuse_root; done <"$1"
}

refuse_root() { refuse no-root "cannot make garbage collector roots in $closure_roots: $(df -h "${all_closure_roots%/*}" | tail -n 1)"; }
