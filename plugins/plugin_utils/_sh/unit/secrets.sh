# Secrets on a host, of a deployment: program TASK STAGED|- [PATH]. It runs in the units of the deployment, with their PATH, and by itself at the
# boot after a power loss. STAGED is where what was sent lies.
# needs: base durable mounts open_marks profile recorded_outcome replace_files secrets secrets_at_boot units_of_secrets
# shellcheck shell=sh

main() {
    task=$1
    staged=$2
    PATH=${3:-$PATH}
    export PATH
    cd /
    # What a death has left. Who only asks has no turn.
    [ "$task" = compare ] || [ ! -d "$over" ] || {
        # It died before it came to them.
        [ "$task" != back ] || [ ! -e "$over/back" ] || units_back
        tidy_up
    }
    [ "$task" = compare ] || [ ! -d "$change.new" ] || rm -rf "$change.new"
    case $task in
    compare) plan_secrets "$staged" ;;
    prepare) prepare ;;
    place) place ;;
    restart) restart_units ;;
    verify) verify ;;
    # Of `back-files`, nothing can be started any more, or yet.
    keep | back | back-files) [ ! -d "$change" ] || end_either_way ;;
    at-boot) at_boot ;;
    give-up) keep_what_is_there ;;
    esac
}

# refuse_secret CODE MESSAGE: where it is only asked what differs, that is the answer.
# shellcheck disable=SC2317 # by plan_secrets
refuse_secret() {
    [ "$task" != compare ] || {
        # None waits for anything then.
        rm -f "$staged/plan"
        refuse "$@"
    }
    [ "$task" != verify ] || not_in_place "the host $2"
    fail "the host $2"
}

# shellcheck disable=SC2317 # by plan_secrets
differs() {
    case $task in
    compare) answer secret "$1 $2 $3" ;;
    verify) not_in_place "the secret $2 is not at $3 any more as it was put there, $(in_words "$1" "$3")" ;;
    esac
}

# shellcheck disable=SC2317 # by plan_secrets
goes_with_boot() { [ "$task" != compare ] || answer secret_goes_with_boot "$1"; }

# fail MESSAGE: for the deployment, which tells it.
fail() {
    printf '%s\n' "$1" >"$staged/complaint"
    printf '%s\n' "$1" >&2
    exit 1
}

# prepare: whoever came before may have changed some, so it is looked at again, when no other deployment can begin any more.
prepare() {
    [ ! -d "$change" ] || fail "an earlier change of secrets is unfinished: $change"
    plan_secrets "$staged" || fail "could not write to $staged (is /run full?)"
    [ -s "$staged/plan" ] || return 0
    open_change "$staged" || {
        rm -rf "$change.new"
        fail "could not write to $var_dir (is the disk full?)"
    }
    make_boot_unit || fail "could not write $boot_unit, which puts the secrets back after a power loss; import the NixOS module of deploy-flake (nixosModules.default) on a host whose /etc cannot be written, or is gone after a reboot"
    make_files 2>"$staged/said" || fail "could not write beside ${not_done-a secret}: $(tail -n 1 "$staged/said")"
}

place() {
    [ -d "$change" ] || return 0
    # Where a switch asks for a reboot in the end, they are put in place a second time.
    [ -e "$change/placed" ] || { note_invocations_of_units "$change/invocations" && printf '' >"$change/placed"; } || fail "could not write to $change (is the disk full?)"
    place_files || fail "could not put ${not_done-a secret} in its place, or somebody else has changed it meanwhile"
    # One that was started before now may have read an old one.
    note_invocations_of_units "$staged/invocations"
    # What follows relies on it.
    sync_planned || fail "could not bring the secrets to the disk"
}

# verify: all that was sent is there, also what was there before; nothing but this look tells what an activation has made of it since, or of the
# directories above it.
verify() {
    [ ! -d "$change" ] || each_planned is_removed "$change/plan" || not_in_place "$not_done, which was removed, is there again"
    plan_secrets "$staged" || fail "could not write to $staged (is /run full?)"
    [ ! -s "$staged/plan" ] || not_in_place "the copies of secrets in $var_dir are not as they were made"
}

# shellcheck disable=SC2317 # by each_planned
is_removed() { [ "$verb" != remove ] || { [ ! -e "$path" ] && [ ! -L "$path" ]; }; }

# in_words HOW PATH: how a secret differs.
# shellcheck disable=SC2317 # by differs
in_words() {
    case $1 in
    added) echo "it is gone" ;;
    content) echo "it has another content" ;;
    permissions) echo "it is of $(stat -c '%U:%G, mode %a' "$2")" ;;
    removed) echo "it was to go, and is there" ;;
    listed) echo "and is not in $var_dir" ;;
    esac
}

# shellcheck disable=SC2317 # by differs
not_in_place() { fail "$1; that is of the activation (environment.etc, a tmpfiles rule, another program for secrets) or of somebody else"; }

# end_either_way: one that was begun to be put back is never kept, and one whose deployment is recorded as one that keeps it never put back, whoever
# asks. What died before it could write that down is asked for again.
end_either_way() {
    read_line "$change/id"
    id=$line
    if [ -e "$change/back" ]; then
        [ "$task" = back ] || task=back-files
    else
        ! is_recorded_as_kept || task=keep
    fi
    if [ "$task" = keep ]; then
        end_change || return 1
        # It is decided. What cannot be tidied up now, the next one does.
        tidy_up || :
    else
        go_back
    fi
}

# is_recorded_as_kept: the change of deployment $id.
is_recorded_as_kept() { case $(recorded_outcome) in committed | commit-failed | superseded) return 0 ;; *) return 1 ;; esac; }

# tidy_up: after a change that is over.
tidy_up() {
    drop_boot_unit || return 1
    # While the machine boots or stops, nothing is asked for.
    case $task in at-boot | back-files) ;; *) forget_boot_unit ;; esac
    tidy_change
}

# go_back: what nobody has any more cannot come back later either; that is said, and the next deployment is free to bring it.
go_back() {
    mark_undone || {
        echo "could not write to $var_dir, so nothing was put back"
        return 1
    }
    # A disk that has no room for that has room to put them back.
    { printf '' >"$change/back"; } 2>/dev/null && sync -f "$change"
    put_files_back || {
        echo "these could not be put back:$not_back; have their file systems mounted and writable (mount, chattr -i), or give up what was there before (sh $change/program give-up), and deploy again"
        return 1
    }
    [ -z "$lost" ] || {
        lost=
        each_planned bring_lost_one "$change/plan"
    }
    tell_theirs
    end_change || return 1
    # The files are back: what hangs now makes nothing of that undone.
    [ "$task" != back ] || units_back
    tidy_up || :
    [ -z "$lost" ] || {
        echo "these secrets are gone, the old one and the new one, and somebody else has removed them:$lost"
        return 1
    }
}

# keep_what_is_there: by hand, where what was there before is not worth waiting for: what is there now stays, and nothing beside it.
keep_what_is_there() {
    [ -d "$change" ] || return 0
    [ ! -e "$run_dir/current" ] || {
        echo "a deployment is in progress, or was left unfinished, and may end this by itself; wait for it, or deploy again first" >&2
        return 1
    }
    # What an earlier one has left is tidied up first.
    [ ! -e "$over" ] || tidy_up && [ ! -e "$over" ] && mv -f "$change" "$over" && sync -f "$var_dir" && tidy_up
}

# bring_lost_one: what was below /run is kept for the next boot as well, and that is back by now.
# shellcheck disable=SC2317 # by each_planned
bring_lost_one() {
    case $before in file) is_lost && ! bring_from_store && lost="$lost $path" ;; esac
    return 0
}

tell_theirs() { [ -z "$theirs" ] || echo "somebody else has changed these secrets meanwhile, and they stay:$theirs"; }

# The unit that does at the next boot what nobody is left to do. It is there as long as a change is open; in this boot it does nothing. Of the places
# where systemd looks for units, NixOS's too, this one is neither a system's nor gone after a reboot.
boot_unit=/etc/systemd/system.attached/deploy-flake-secrets-back.service

make_boot_unit() {
    local interpreter
    # The NixOS module has one for good.
    ! brings_secrets_at_boot "$profile" || return 0
    interpreter=$(readlink -f /bin/sh)
    case $interpreter in */busybox) interpreter="$interpreter sh" ;; esac
    mkdir -p "${boot_unit%/*}/sysinit.target.wants" || return 1
    # A unit that goes with the power does nothing after it.
    ! is_gone_after_boot "${boot_unit%/*}" || return 1
    printf '%s\n' \
        "[Unit]" "Description=puts secrets back after a deployment that a power loss has interrupted" "DefaultDependencies=no" \
        "ConditionPathExists=!${staged%/*}" "ConditionPathExists=$change/program" "RequiresMountsFor=$var_dir $(planned_directories)" "After=local-fs.target" "Before=sysinit.target" \
        "Conflicts=shutdown.target" "Before=shutdown.target" \
        "[Service]" "Type=oneshot" "ExecStart=$interpreter $change/program at-boot -" >"$boot_unit" && chmod 0644 "$boot_unit" &&
        ln -sf "../${boot_unit##*/}" "${boot_unit%/*}/sysinit.target.wants/${boot_unit##*/}" && sync -f "${boot_unit%/*}"
}

# planned_directories: of what survives a reboot, in systemd's words. What is not mounted there yet would be taken for lost.
planned_directories() {
    sed -n "s/^[pr].*$tab\(.*\)\/[^/]*\$/\1\//p" "$change/plan" | grep -v -e '^/run/' | sort -u | sed 's/%/%%/g; s/"/\\"/g; s/.*/"&"/' | paste -s -d ' '
}

drop_boot_unit() {
    [ ! -d "${boot_unit%/*}" ] || {
        rm -f "${boot_unit%/*}/sysinit.target.wants/${boot_unit##*/}" "$boot_unit" || return 1
        rmdir "${boot_unit%/*}/sysinit.target.wants" "${boot_unit%/*}" 2>/dev/null
    }
    return 0
}

# forget_boot_unit: a switch has had systemd load it, and nothing else may have it look again; not even a way back, where somebody else's system stays.
# It has failed where a boot could not put them back, which is over.
forget_boot_unit() {
    local its
    its=$(sc show -p LoadState -p ActiveState "${boot_unit##*/}" 2>/dev/null)
    case $its in *ActiveState=failed*) sc reset-failed -- "${boot_unit##*/}" 2>/dev/null ;; esac
    case $its in *LoadState=loaded*) sc daemon-reload ;; esac
    return 0
}

# at_boot: what was not confirmed is put back. What was, stays; the next deployment ends it, together with the deployment that it was part of.
at_boot() {
    local booted this_boot
    [ -d "$change" ] || return 0
    read -r this_boot </proc/sys/kernel/random/boot_id
    read_line "$change/boot"
    [ "$line" != "$this_boot" ] || return 0
    read_line "$change/id"
    id=$line
    new=$(open_field new)
    booted=$(leads_to /run/booted-system)
    [ -e "$change/back" ] || ! is_recorded_as_kept || return 0
    [ -e "$change/back" ] || ! is_marked confirmed || ! { [ "$(open_field only_secrets)" = yes ] || [ "$(boot_default)" = "$new" ] || [ "$booted" = "$new" ]; } || return 0
    # The boot default is as it was, and no mark says any more that the deployment had moved it: whoever does from here on is somebody else.
    [ "$(boot_default)" = "$new" ] || unmark confirmed undone || {
        echo "could not write to $var_dir, so nothing was put back"
        return 1
    }
    go_back
}

main "$@"
exit
