# Starts a build in a unit of its own, or finds it running, and hands out its log.
# nix_arguments: quoted for a shell. offset: how much of the log is known. quiet: for how many seconds only the end is worth an answer.
# may_start: whether to start one. sources: what was kept for it, one a line. paths: those that the controller could send. nar_size: of
# one that comes on standard input, whose path is path; or nothing. look: whether to look as well if anything is to be done.
# ask_committed: whether to say what the boot default was made from, where it is another system. needs_system: whether nothing will come of
# what is no system. fetched: the system, where it is to be fetched and not built.
# inputs: name login_user build_limit need_nix_kib nix_arguments at_end bound_log nix_config offset patience quiet may_start sources paths nar_size look
# inputs: ask_committed needs_system fetched
# inputs where nar_size: path packed
# inputs where look=yes: specialisation mode over_ssh allow
# programs of units: at_end=build_ended bound_log=bound_log
# words: nix_arguments
# needs: base free_space interpreter known_value last_committed nix_access nix_config nix_unit old_builds own_directory quote receive_snapshot
# needs: root_snapshots roots shortage system tools wait_for_line
# shellcheck shell=sh

# refuse_build REASON MESSAGE: nothing will come of this flake.
refuse_build() {
    drop_roots "$sources"
    refuse "$@"
}

# refuse_unbegun REASON MESSAGE: it could not begin, and leaves nothing.
refuse_unbegun() {
    rm -rf "$build"
    refuse_build "$@"
}

no_room() { refuse_unbegun no-space "cannot write to $build: is /run full?"; }

main() {
    answer_begin
    require_root
    [ -z "$nar_size" ] || receive_snapshot
    command -v nix >/dev/null || refuse_build no-nix "has no nix in $PATH (is Nix installed there?)"
    login_user=${login_user:-${SUDO_USER:-${DOAS_USER:-root}}}
    own_directory "$run_dir" || refuse_build no-directory "$run_dir is not a directory of root's alone"
    build=$run_dir/build-$name
    build_unit=deploy-flake-build-$name.service
    if [ "$may_start" = yes ]; then
        ! runs_already || return 0
        if [ -n "$paths" ]; then
            root_snapshots
            [ "$lacking" = no ] || return 0
        fi
        take_turn
        # A program that is started here may live longer, as what watches over busybox's `timeout`, and would keep the turn.
        attach_or_start 8<&-
        exec 8<&-
    fi
    hand_out
}

# runs_already: where the host runs what this would lead to, and boots it, that is the answer, and nothing is begun. What is known of a system is
# looked at as if it had been built now.
runs_already() {
    local value
    value="$fetched "
    [ "$look" = yes ] && { [ -n "$fetched" ] || find_value; } || return 1
    toplevel=${value%% *}
    derivation=${value#* }
    nothing_to_do || return 1
    tidy_builds
    answer log ''
    answer result "success 0"
    answer_runs
}

# take_turn: several controllers may want the same build at the same moment. Until descriptor 8 is closed.
take_turn() {
    exec 8<"$run_dir"
    flock -w 90 8 || refuse_build no-lock "has been starting builds for others for more than 90 s"
}

attach_or_start() {
    drop_old_builds
    # shellcheck disable=SC2119
    if [ -d "$build" ] && in_progress; then answer attached yes; else start_build; fi
}

# in_progress: also while the unit's last lines are written.
in_progress() {
    case $(sc show -p ActiveState --value "$build_unit" 2>/dev/null) in
    inactive | failed | '') return 1 ;;
    esac
}

# shellcheck disable=SC2120 # `set` gives them
start_build() {
    local bound said tries
    [ ! -e "$build" ] || rm -rf "$build"
    mkdir -m 0700 "$build" && printf '' >"$build/events" || no_room
    # Whoever waits for a directory of users holds up all others.
    timeout -k 5 20 id -- "$login_user" >/dev/null 2>&1 || refuse_unbegun no-user "has no user $login_user to build as, or did not say so within 20 s"
    eval "set -- $nix_arguments"
    free_kib /nix
    if [ "${free:-$need_nix_kib}" -lt "$need_nix_kib" ]; then
        # Nothing is built or substituted: what is there already needs no room. Inputs that it lacks Nix fetches all the same.
        set -- "$@" --max-jobs 0 --builders "" --option substitute false
        echo "$free" >"$build/short" || no_room
    fi
    name_to_note
    # Where it is cut off, nobody will ask for it.
    printf '%s\n' "$asked" >"$build/asked" 2>/dev/null
    find_interpreter
    bound=$(tool fallocate) || bound=:
    cat >"$build/ended" 2>/dev/null <<END || no_room
PATH='$PATH'
$(fact interpreter "$interpreter")
$(printf '%s\n' "$at_end")
END
    cat >"$build/bound" 2>/dev/null <<END || no_room
PATH='$PATH'
$(fact punch "$bound")
$(printf '%s\n' "$bound_log")
END
    lend_nix_config "$build" "$build_unit"
    choose_cache
    # The log is opened by systemd, in a directory that only root can write: a link put there by the login user would be read
    # out as root.
    tries=0
    until said=$(nix_unit 60 --service-type=exec --unit="$build_unit" \
        --description="builds a system for deploy-flake" -p RuntimeDirectory="deploy-flake-build-$name" \
        -p StandardOutput="append:$build/out" -p StandardError="append:$build/log" -p RuntimeMaxSec="$build_limit" -p TimeoutStopSec=60 \
        -p ExecStartPost="+$interpreter -c '$interpreter $build/bound $build 3 >/dev/null 2>&1 </dev/null &'" \
        -p ExecStopPost="+$interpreter $build/ended $build $roots $name" \
        "$(tool nix)" "$@" --out-link "/run/deploy-flake-build-$name/result" 2>&1); do
        # This script may run a second time, after a connection that was lost.
        if in_progress || [ -e "$build/result" ]; then return; fi
        # An earlier one has failed, or is about to be forgotten.
        tries=$((tries + 1))
        [ "$tries" -lt 5 ] || refuse_unbegun no-unit "$(no_unit "$build_unit" "$said")"
        sc reset-failed "$build_unit" 2>/dev/null
        sleep 0.2
    done
}

# log_from_offset: the next piece of the log, after what is left out there.
log_from_offset() {
    local most
    most=262144
    # Where only an end is kept, its beginning comes first, whole.
    [ -z "$dropped" ] || [ "$offset" -ge "$log_head" ] || most=$((log_head - offset))
    if [ "$offset" = 0 ]; then
        head -c "$most" "$build/log"
    else
        tail -c "+$((offset + 1))" "$build/log" | head -c "$most"
    fi
}

# skip_what_was_dropped: between the beginning of the log and its end, which alone are kept; of more than one answer, what is newest.
skip_what_was_dropped() {
    size=$(stat -c %s "$build/log" 2>/dev/null) || size=0
    # shellcheck disable=SC2086 # the interpreter is words
    [ $((size - offset)) -lt 1048576 ] || { find_interpreter && $interpreter "$build/bound" "$build" 0; }
    read_line "$build/dropped"
    dropped=$line
    log_head=${line%% *}
    if [ -n "$dropped" ] && [ "$offset" -ge "$log_head" ] && [ "$offset" -lt "${line##* }" ]; then
        answer log_skipped "$((${line##* } - offset))"
        offset=${line##* }
    fi
}

# hand_out: the log, and the result where there is one.
hand_out() {
    wait_for_news
    # From its result on, whoever reads it tidies up.
    [ ! -e "$build/result" ] || take_turn
    tell_news 8<&-
}

tell_news() {
    [ -d "$build" ] || { answer gone yes && return; }
    # The result is looked for first: a log read after it is whole.
    find_result
    skip_what_was_dropped
    printf 'log\0'
    [ ! -e "$build/log" ] || log_from_offset | base64
    printf '\0'
    [ -n "$result" ] && [ $(($(stat -c %s "$build/log" 2>/dev/null || echo 0) - offset)) -le 262144 ] || return 0
    answer result "$result"
    case $result in
    "success "*) answer_success ;;
    *)
        drop_roots "$sources"
        answer_shortage
        read_line "$build/short"
        [ -z "$line" ] || answer short "$line"
        case $result in exit-code*) answer_shut_out ;; esac
        ;;
    esac
    # Whoever looks for one that is gone begins it again.
    if [ "$result" = killed ]; then
        take_turn
        ! in_progress || return 0
    fi
    rm -rf "$build"
}

# wait_for_news: until there is a result, or after a moment any news.
wait_for_news() {
    local deadline news_from next_look
    clock
    deadline=$((uptime + patience))
    # Each answer costs another look: for a moment only the end is worth one.
    news_from=$((uptime + quiet))
    while [ -d "$build" ] && [ ! -e "$build/result" ] && [ "$uptime" -lt "$deadline" ]; do
        if [ "$uptime" -lt "$news_from" ]; then
            next_look=$((news_from - uptime))
        else
            next_look=1
            [ ! -e "$build/log" ] || [ "$(stat -c %s "$build/log")" -le "$offset" ] || break
        fi
        wait_for_line "$next_look" "$build/events" ended || sleep 0.1
        clock
    done
}

# find_result: in $result; empty while there is none.
find_result() {
    result=
    if [ -e "$build/result" ]; then
        read_line "$build/result"
        result=$line
    elif ! in_progress && [ ! -e "$build/result" ] && sleep 0.5 && [ ! -e "$build/result" ]; then
        result="killed"
    fi
}

answer_success() {
    read_what_was_built
    read_line "$build/asked"
    [ "$look" = no ] || note_value "$build" "$line" "$toplevel $derivation"
    if [ "$look" = yes ] && nothing_to_do; then
        answer_runs
    else
        answer_toplevel
        [ "$ask_committed" = no ] || answer_last_committed
    fi
}

answer_runs() {
    answer toplevel "$toplevel"
    answer derivation "$derivation"
    answer_unchanged
}

# read_what_was_built: in $toplevel and $derivation. Nix says it as JSON first, and the path alone on the last line.
read_what_was_built() {
    toplevel=
    derivation=
    [ ! -e "$build/out" ] || while read -r line; do
        case $line in
        *'"drvPath":"'*)
            derivation=${line#*'"drvPath":"'}
            derivation=${derivation%%'"'*}
            ;;
        esac
        toplevel=$line
    done <"$build/out"
}

# answer_toplevel: nothing, if it is not valid. What was just built is; what was built before may be known by its path alone.
answer_toplevel() {
    local is_system output part
    if [ -n "$toplevel" ] && { [ -n "$derivation" ] || derivation=$(nix-store --query --deriver "$toplevel" 2>/dev/null); }; then
        answer toplevel "$toplevel"
        answer derivation "$derivation"
        [ ! -e "$build/outputs" ] || while read -r output; do answer output "$output"; done <"$build/outputs"
        is_system=yes
        for part in nixos-version bin/switch-to-configuration; do
            [ -e "$toplevel/$part" ] || {
                answer lacks "$part"
                is_system=no
            }
        done
        [ "$is_system" = yes ] || [ "$needs_system" = no ] || {
            drop_root "$toplevel"
            drop_roots "$sources"
            [ ! -e "$build/outputs" ] || drop_roots "$(cat "$build/outputs")"
        }
        # For command/start.
        read_line /proc/sys/kernel/random/boot_id
        answer boot_id "$line"
    fi
}

# nothing_to_do: most hosts of a fleet that is deployed again run the system already, and need no further script. What is wrong
# with it is for preflight to say.
nothing_to_do() {
    new=$toplevel
    (only_asked=yes && look_at_system) >/dev/null || return 1
    choose_live_system
    note_systems
    is_unchanged
}

main
exit
