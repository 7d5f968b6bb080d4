# Where secrets lie that were sent for a deployment, until it has ended. Before it: $id.
# sets: staged secrets_dir
# facts: interpreter
# needs: base complain
# shellcheck shell=sh

secrets_dir=/run/deploy-flake-secrets
staged=$secrets_dir/${id-}

# drop_staged: and what is still on its way there.
drop_staged() {
    rm -rf "$staged" "$staged".*
    stop_dropping
    rmdir "$secrets_dir" 2>/dev/null
    return 0
}

# drop_by_itself: in ten minutes, unless their deployment has begun by then, and whoever dies. One that comes later has them sent again. A starter that
# has died has left settings, and no state.
drop_by_itself() {
    local tries
    tries=0
    stop_dropping
    # The name of the one before may not be free at once.
    # shellcheck disable=SC2086 # the interpreter may be two words
    until timeout -k 5 30 systemd-run --quiet --collect --no-ask-password --on-active=600 --unit="$(dropper)" --description="lets go of secrets that were sent for a deployment" \
        -E PATH="$PATH" $interpreter -c "[ -e $run_dir/$id/state ] || rm -rf $staged $staged.*" </dev/null 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 10 ] || return 1
        sleep 0.2
    done
}

dropper() { printf 'deploy-flake-secrets-drop-%s' "${staged##*/}"; }

stop_dropping() { [ ! -e "/run/systemd/transient/$(dropper).timer" ] || sc stop "$(dropper).timer"; }

# drop_old_secrets: of an hour ago and more, whose deployment never began or is over: their controllers were killed.
drop_old_secrets() {
    local old
    for old in "$secrets_dir"/*; do
        [ -d "$old" ] && [ ! -e "$run_dir/${old##*/}/state" ] && [ -n "$(find "$old" -maxdepth 0 -mmin +60)" ] || continue
        rm -rf "$old"
    done
}

# still_compared: whether they are here, and what was found of them still holds; complains where they have to be sent once more.
still_compared() {
    if [ -e "$staged/not-sure" ] && ! another_is_open; then
        complain busy "has ended another deployment since its secrets were compared"
    elif [ ! -e "$staged/program" ]; then
        complain busy "does not have the secrets any more that were sent for this deployment: it was rebooted, or was waited for too long"
    fi
}

# another_is_open: a deployment, or its change of secrets; what it has put in place it may still undo, and so may whoever repairs it.
another_is_open() { [ -e "$run_dir/current" ] || [ -e "$var_dir/open.json" ] || [ -e "$var_dir/secrets.open" ]; }
