# Takes secrets from standard input into a directory on a tmpfs, and says which of them are not on the host as they should be. They wait there for a
# deployment of this id, or for check mode's look at what one would do, where there is something to do.
# secrets: a line for each: name, path, owner, group, mode, size in bytes, and units or a dash, with tabs between them. others: what becomes of
# those that were placed before and are not among them: keep or remove. new: the system that is to boot; nothing where that stays. program: what
# deals with them.
# inputs: id secrets others new program
# programs of units: program=secrets
# needs: base free_space interpreter own_directory staged_secrets
# shellcheck shell=sh

# This script may run a second time, while the first run still waits for what a lost connection does not bring any more. So each has a directory of
# its own, and what is whole gets its name.
receiving=$staged.$$

main() {
    local current sure
    answer_begin
    require_root
    sure=yes
    find_interpreter
    receive_secrets
    current=$(leads_to /run/current-system)
    answer current "$current"
    ! another_is_open || sure=no
    # It may refuse, and then this ends the answer.
    # shellcheck disable=SC2086 # the interpreter may be two words
    $interpreter "$receiving/program" compare "$receiving" </dev/null || {
        drop_received
        refuse no-space "could not look at its secrets, and nothing was changed: $(df -h "${secrets_dir%/*}" | tail -n 1)"
    }
    ! another_is_open || sure=no
    if [ ! -e "$receiving/plan" ]; then
        nothing_waits
    elif [ "$sure" = no ]; then
        # The deployment looks again, in its turn.
        printf '' >"$receiving/not-sure" || no_room_for_secrets
        answer secrets_not_sure yes
        keep_received
    elif [ -s "$receiving/plan" ]; then
        keep_received
    elif [ -s "$receiving/secrets" ] && [ -n "$new" ] && [ "$new" != "$current" ]; then
        # The deployment looks whether its activation leaves them there.
        answer secrets_wait yes
        keep_received
    else
        nothing_waits
    fi
}

# keep_received: the deployment of another run may have begun with what that one has received, which is the same.
keep_received() {
    if [ -e "$run_dir/$id/settings" ]; then
        drop_received
    else
        rm -rf "$staged" && mv "$receiving" "$staged" || no_room_for_secrets
    fi
}

# nothing_waits: whoever has compared them to the end knows, but for a deployment that has begun.
nothing_waits() {
    [ -e "$run_dir/$id/settings" ] || rm -rf "$staged"
    drop_received
}

drop_received() {
    rm -rf "$receiving"
    # Another run may still receive.
    set -- "$staged"*
    [ -e "$1" ] || stop_dropping
    rmdir "$secrets_dir" 2>/dev/null
    return 0
}

no_room_for_secrets() {
    drop_received
    refuse no-space "cannot write to $secrets_dir, and nothing was changed: $(df -h "${secrets_dir%/*}" | tail -n 1)"
}

# make_received: whoever drops the last of all removes the directory above, which may be just now.
make_received() {
    local tries
    tries=0
    until own_directory "$secrets_dir" && mkdir -m 0700 "$receiving" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 5 ] || return 1
        sleep 0.1
    done
}

# receive_secrets: one after the other, each of its size.
receive_secrets() {
    local tab name rest size
    tab=$(printf '\t')
    make_received && [ "$(stat -f -c %T "$secrets_dir")" = tmpfs ] || {
        drop_received
        refuse no-directory "has no tmpfs at $secrets_dir that is root's alone, or no room there: $(df -h "${secrets_dir%/*}" | tail -n 1)"
    }
    drop_old_secrets
    drop_by_itself || {
        # systemd needs some as well.
        free_kib "$secrets_dir"
        [ "${free:-1024}" -ge 1024 ] || no_room_for_secrets
        drop_received
        refuse no-unit "could not start $(dropper).timer, which lets go of secrets that no deployment comes for"
    }
    mkdir -m 0700 "$receiving/content" && printf '%s' "$secrets" >"$receiving/secrets" && printf '%s\n' "$program" >"$receiving/program" &&
        printf '%s\n' "$new" >"$receiving/new" || no_room_for_secrets
    [ "$others" != remove ] || printf '' >"$receiving/remove-others" || no_room_for_secrets
    while IFS=$tab read -r name rest <&3; do
        size=${rest%"$tab"*}
        size=${size##*"$tab"}
        printf '' >"$receiving/content/$name" || no_room_for_secrets
        [ "$size" = 0 ] || dd bs="$size" count=1 iflag=fullblock >"$receiving/content/$name" 2>/dev/null
        [ "$(stat -c %s "$receiving/content/$name")" = "$size" ] || no_room_for_secrets
    done 3<"$receiving/secrets"
}

main
exit
