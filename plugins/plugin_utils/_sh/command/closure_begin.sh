# Begins to take a closure: keeps all of it from garbage collection as soon as it is there, and says what the host lacks. wanted: all of it, one
# path a line. tops: what it is the closure of. substitute: whether the host may fetch first what its substituters have.
# inputs: wanted tops program packed substitute fetch_limit idle_limit
# programs of units: program=closure_import
# needs: base closure closure_roots closure_unit free_space make_root quote tools
# shellcheck shell=sh

main() {
    answer_begin
    require_root
    begin_closure
    printf '%s\n' "$wanted" >"$closure/wanted.new" && mv -f "$closure/wanted.new" "$closure/wanted" || no_room
    root_closure "$closure/wanted"
    xargs nix-store --check-validity --print-invalid <"$closure/wanted" >"$closure/lacking.new" 2>"$closure/error" && mv -f "$closure/lacking.new" "$closure/lacking" || {
        set -- "$(tail -n 3 "$closure/error")"
        end_closure
        refuse not-valid "cannot say which paths it has: $1"
    }
    free_kib /nix
    answer free "$free"
    answer lacking "$(wc -l <"$closure/lacking")"
    if [ ! -s "$closure/lacking" ]; then
        for path in $tops; do make_root "$path"; done
        end_closure
        answer complete yes
        return
    fi
    [ "$packed" = no ] || tool gzip >/dev/null || { end_closure && refuse no-tool "has no gzip: set compress (deploy_flake_compress) to false"; }
    start_closure_unit "takes a closure for deploy-flake" <<END
$(fact packed "$packed")
$(fact substitute "$substitute")
$(fact fetch_limit "$fetch_limit")
$(fact idle_limit "$idle_limit")
END
}

main </dev/null
exit
