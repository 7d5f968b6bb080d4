# Begins to hand out a closure, in a unit of its own. batches: store paths, one a line, with an empty line behind each batch.
# inputs: batches program piece_size pack idle_limit
# programs of units: program=closure_export
# needs: base closure closure_unit quote tools
# shellcheck shell=sh

main() {
    answer_begin
    require_root
    name_closure
    [ -d "$closure" ] || { answer gone yes && return; }
    [ -e "$closure/batches" ] || { printf '%s\n' "$batches" >"$closure/batches.new" && mv -f "$closure/batches.new" "$closure/batches"; } || no_room
    [ "$pack" = no ] || tool gzip >/dev/null || refuse no-tool "has no gzip: set compress (deploy_flake_compress) to false"
    start_closure_unit "hands out a closure for deploy-flake" <<END
$(fact piece_size "$piece_size")
$(fact pack "$pack")
$(fact idle_limit "$idle_limit")
END
}

main </dev/null
exit
