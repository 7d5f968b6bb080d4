# Whether a host trusts what it is given, by what is said of the paths that it lacks, which is kept as a binary cache says it.
# needs: base closure nix_features
# shellcheck shell=sh

# asks_for_signatures: whether the host's configuration wants any.
asks_for_signatures() {
    # shellcheck disable=SC2086 # words
    [ "$(nix $features config show require-sigs 2>/dev/null || nix $features show-config 2>/dev/null | sed -n 's/^require-sigs = //p')" != false ]
}

# is_trusted STORE PATHS: whether a key of the host's trusted-public-keys has signed each of them there, or its name proves its content; those that none has are in $closure/untrusted.
is_trusted() {
    # shellcheck disable=SC2086 # words
    xargs nix $features store verify --store "$1" --no-contents --sigs-needed 1 <"$2" >"$closure/verified" 2>&1 && return
    sed -n "s|.*path '\(/nix/store/[^']*\)' is untrusted.*|\1|p" "$closure/verified" >"$closure/untrusted"
    [ -s "$closure/untrusted" ] || tail -n 3 "$closure/verified" >"$closure/untrusted"
    return 1
}

# refuse_untrusted WHAT
refuse_untrusted() {
    local count more
    count=$(wc -l <"$closure/untrusted")
    more=
    [ "$count" -lt 2 ] || more=" and $((count - 1)) other paths of the closure"
    read_line "$closure/untrusted"
    set -- "$1" "$line$more"
    end_closure
    refuse not-signed "asks for signatures (require-sigs), and no key of its trusted-public-keys has signed $2; $1. Sign them where they were built (sign_key, \
deploy_flake_sign_key) with a key that its configuration has among nix.settings.trusted-public-keys, or take them without (check_signatures: false)"
}
