# Has a step of a boot that is tried once done in a unit of its own, unit/trial, and hands out its answer.
# settings: what its program has to know, as assignments. time_limit: in seconds.
# inputs: id step new program settings time_limit
# programs of units: program=trial
# settings of units: settings=trial
# needs: base interpreter own_directory roots states tools_work
# shellcheck shell=sh

main() {
    answer_begin
    require_root
    require_what_it_needs
    dir=$run_dir/trial-$id-$step
    # Not there: the first run of this very script has lost its connection and goes on; then its answer is waited for.
    if mkdir -m 0700 "$dir" 2>/dev/null; then start_unit; fi
    wait_for_answer
    cat "$dir/result"
    wait_for_unit
    tidy_up
}

require_what_it_needs() {
    local needed
    for needed in nix-store systemctl systemd-run flock timeout awk; do
        command -v "$needed" >/dev/null || refuse no-tool "has no $needed in $PATH"
    done
    tools_work || refuse broken-tool "has a timeout or readlink in $PATH that does not do its work"
    own_directory "$run_dir" || refuse no-directory "$run_dir is not a directory of root's alone"
    if [ "$step" = look ]; then
        # Check mode holds nobody up, and leaves nothing behind.
        unit=deploy-flake-check-$id.service
    else
        own_directory "$var_dir" || refuse no-directory "$var_dir is not a directory of root's alone"
    fi
}

wait_for_answer() {
    local ends
    clock
    ends=$((uptime + time_limit + 30))
    while [ ! -e "$dir/result" ]; do
        clock
        [ "$uptime" -lt "$ends" ] || refuse no-answer "did not end '$step' of the trial within $time_limit s: journalctl -u $unit"
        case $(sc show -p ActiveState --value "$unit" 2>/dev/null) in
        active | activating | deactivating | reloading | '') ;;
        *)
            sleep 0.2
            [ -e "$dir/result" ] || {
                rm -rf "$dir"
                refuse no-answer "has ended '$step' of the trial without an answer: journalctl -u $unit"
            }
            ;;
        esac
        sleep 0.1
    done
}

# The unit is gone when this is over: its name is the lock.
wait_for_unit() {
    local tries
    tries=0
    while [ "$tries" -lt 50 ] && [ "$(sc show -p ActiveState --value "$unit" 2>/dev/null)" != inactive ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
}

tidy_up() {
    if [ "$step" = look ]; then
        rm -rf "$dir"
        rmdir "$run_dir" 2>/dev/null
        return
    fi
    # What is asked once more in a minute gets the same answer.
    find "$run_dir" -maxdepth 1 -name 'trial-*' ! -name "trial-$id-*" -exec rm -rf {} + 2>/dev/null
    case $step in
    failed | end) ;;
    # What is refused is not gone on with.
    prepare)
        tr '\0' '\n' <"$dir/result" | grep -q -x refused || return 0
        drop_all_roots
        ;;
    *) return ;;
    esac
    rm -rf "$run_dir/trial-$id"-*
}

start_unit() {
    local said tries
    printf '%s\n' "$program" >"$dir/program" && printf '%s\n' "$settings" >"$dir/settings.sh" || {
        rm -rf "$dir"
        refuse no-space "cannot write to $run_dir"
    }
    find_interpreter
    tries=0
    # shellcheck disable=SC2086 # the interpreter may be two words
    until said=$(timeout -k 5 60 systemd-run --quiet --collect --no-ask-password --service-type=exec --unit="$unit" \
        --description="tries a boot of ${new-} ($id)" \
        -p KillMode=control-group -p IgnoreOnIsolate=yes -p WorkingDirectory=/ -p UMask=0077 \
        -p RuntimeMaxSec="$time_limit" -p TimeoutStopSec=30 ${LOCALE_ARCHIVE:+-E LOCALE_ARCHIVE} \
        $interpreter "$dir/program" "$dir" "$step" 2>&1); do
        [ ! -e "$dir/result" ] || return 0
        tries=$((tries + 1))
        case $(sc show -p ActiveState --value "$unit") in
        inactive | failed)
            sc reset-failed "$unit" 2>/dev/null
            [ "$tries" -lt 5 ] || sc stop "$unit" 2>/dev/null
            ;;
        deactivating) ;;
        *)
            read_line "$run_dir/current"
            read_line "$run_dir/$line/state"
            is_final "$line" || [ -z "$line" ] || tries=100
            ;;
        esac
        [ "$tries" -lt 30 ] || {
            rm -rf "$dir"
            read_line "$run_dir/current"
            refuse busy "has a deployment in progress: ${line:-unknown} ($said)"
        }
        sleep 0.2
    done
}

main </dev/null
exit
