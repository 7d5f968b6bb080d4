# Whether the host trusts what it is about to be given: a text on standard input, with a line before what a binary cache says of each.
# It is `path NAME`.
# inputs: size
# needs: base closure closure_signatures
# shellcheck shell=sh

# write_cache: a file for each path, by names that cannot lead out of the directory. No, where something else was said.
write_cache() {
    awk -v closure="$closure/" '
        /^path / {
            if (file) close(file)
            if (NF != 2 || $2 !~ /^[0-9a-z]+-[0-9A-Za-z+._?=-]+$/ || index($2, "-") != 33) exit 1
            file = closure "cache/" substr($2, 1, 32) ".narinfo"
            print "/nix/store/" $2 >(closure "shown")
            next
        }
        !file { exit 1 }
        { print >file }
    ' "$closure/said"
}

main() {
    answer_begin
    require_root
    name_closure
    if [ ! -d "$closure" ]; then
        cat >/dev/null
        answer gone yes
        return
    fi
    mkdir -p "$closure/cache" && cat >"$closure/said"
    [ "$(stat -c %s "$closure/said")" = "$size" ] || refuse no-space "cannot keep what is said of the paths: $(df -h "$run_dir" | tail -n 1)"
    asks_for_signatures || return 0
    echo "StoreDir: /nix/store" >"$closure/cache/nix-cache-info"
    printf '' >"$closure/shown"
    write_cache || { end_closure && refuse not-signed "was shown signatures of something that is not a store path; nothing was copied"; }
    is_trusted "file://$closure/cache" "$closure/shown" || refuse_untrusted "nothing was copied"
}

main
exit
