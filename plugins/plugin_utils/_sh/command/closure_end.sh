# Ends a copy of a closure on this end. tops: what has to be there by now, and is kept until a deployment has ended; nothing where the copy has
# come to nothing, or this is its source.
# inputs: tops
# needs: base closure make_root nix_features
# shellcheck shell=sh

# keep_signatures: of what has come, as from a binary cache. What came is what was signed: the controller has given this host nothing else.
keep_signatures() {
    # shellcheck disable=SC2086 # words
    [ ! -e "$closure/shown" ] || xargs nix $features store copy-sigs --substituter "file://$closure/cache" <"$closure/shown" >/dev/null 2>"$closure/error"
}

main() {
    local invalid path
    answer_begin
    require_root
    name_closure
    if [ -n "$tops" ]; then
        [ -d "$closure" ] || { answer gone yes && return; }
        # shellcheck disable=SC2086 # words
        invalid=$(nix-store --check-validity --print-invalid $tops 2>"$closure/error") || {
            set -- "$(tail -n 3 "$closure/error")"
            end_closure
            refuse not-imported "cannot say whether it has all of the closure now: $1"
        }
        [ -z "$invalid" ] || { end_closure && refuse not-imported "has taken all of the closure and does not have ${invalid%%"$newline"*}"; }
        keep_signatures || answer unsigned "$(tail -n 1 "$closure/error")"
        for path in $tops; do make_root "$path"; done
    fi
    end_closure
}

main </dev/null
exit
