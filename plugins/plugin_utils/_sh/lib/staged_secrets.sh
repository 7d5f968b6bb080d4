# Where secrets lie that were sent for a deployment, until it has ended. Before it: $id.
# sets: staged secrets_dir
# needs: base
# shellcheck shell=sh

secrets_dir=/run/deploy-flake-secrets
staged=$secrets_dir/${id-}

# drop_staged: and what is still on its way there.
drop_staged() {
    rm -rf "$staged" "$staged".*
    rmdir "$secrets_dir" 2>/dev/null
    return 0
}

# drop_old_secrets: of an hour ago and more, whose deployment never began or is over: their controllers were killed.
drop_old_secrets() {
    local old
    for old in "$secrets_dir"/*; do
        [ -d "$old" ] && [ ! -e "$run_dir/${old##*/}/settings" ] && [ -n "$(find "$old" -maxdepth 0 -mmin +60)" ] || continue
        rm -rf "$old"
    done
}

# another_is_open: a deployment, or its change of secrets; what it has put in place it may still undo, and so may whoever repairs it.
another_is_open() { [ -e "$run_dir/current" ] || [ -e "$var_dir/open.json" ] || [ -e "$var_dir/secrets.open" ]; }
