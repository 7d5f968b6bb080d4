# Finds out what belongs to store paths, and keeps that from garbage collection until the copy has ended. groups: a line for each target, with
# the paths for it. sign_key: a file to sign all of it with, or nothing. ask_signatures: whether to say what is signed.
# inputs: groups sign_key ask_signatures
# needs: base closure closure_roots nix_features
# shellcheck shell=sh

main() {
    answer_begin
    require_root
    begin_closure
    printf '%s\n' "$groups" >"$closure/groups" || no_room
    tr ' ' '\n' <"$closure/groups" | sort -u >"$closure/paths"
    root_closure "$closure/paths"
    refuse_invalid
    xargs nix-store --query --requisites <"$closure/paths" >"$closure/listed" 2>"$closure/error" || refuse_paths
    # Each call prints what others need before them.
    awk '!seen[$0]++' "$closure/listed" >"$closure/all"
    printf 'paths\0' && cat "$closure/all" && printf '\0'
    printf 'sizes\0' && xargs nix-store --query --size <"$closure/all" && printf '\0'
    answer_groups
    [ -z "$sign_key" ] || sign
    # shellcheck disable=SC2046,SC2086 # words
    [ "$ask_signatures" = no ] || { printf 'signatures\0' && nix $features path-info --json --recursive $(cat "$closure/paths") && printf '\0'; }
}

# sign: all of it. What has the signature keeps it.
sign() {
    local said
    [ -r "$sign_key" ] || refuse_key "it cannot be read"
    # shellcheck disable=SC2086 # words
    said=$(xargs nix $features store sign --key-file "$sign_key" <"$closure/all" 2>&1) || refuse_key "$(printf '%s\n' "$said" | tail -n 3)"
}

refuse_key() {
    end_closure
    refuse no-key "could not sign with the key $sign_key (sign_key, deploy_flake_sign_key), and nothing was copied: $1"
}

refuse_paths() {
    set -- "$(tail -n 3 "$closure/error")"
    end_closure
    refuse not-valid "cannot say what belongs to the paths that are to be copied: $1"
}

refuse_invalid() {
    local invalid
    invalid=$(xargs nix-store --check-validity --print-invalid <"$closure/paths" 2>"$closure/error") || refuse_paths
    [ -n "$invalid" ] || return 0
    end_closure
    refuse not-valid "does not have ${invalid%%"$newline"*}, which is to be copied from there; nothing was copied. Build it there first"
}

# answer_groups: what each target needs, by its number among all paths.
answer_groups() {
    local group
    while read -r group; do
        # shellcheck disable=SC2086 # words
        nix-store --query --requisites $group >"$closure/group" 2>"$closure/error" || refuse_paths
        printf 'group\0'
        awk -v all="$closure/all" 'BEGIN { while ((getline one <all) > 0) at[one] = n++ } { print at[$0] + 0 }' "$closure/group"
        printf '\0'
    done <"$closure/groups"
}

main </dev/null
exit
