# Starts the removal of generations in a unit of its own, or finds it begun, and tells how it ended.
# values: what the program has to know, as assignments. over: yes once that was heard, to tidy up.
# inputs: id program values runtime_limit patience over
# programs of units: program=prune
# settings of units: values=prune
# needs: base file_systems free_space interpreter own_directory quote unit_environment
# shellcheck shell=sh

main() {
    local deadline
    answer_begin
    require_root
    dir=$run_dir/prune-$id
    if [ "$over" = yes ]; then
        rm -rf "$dir"
        return
    fi
    make_directory
    [ -e "$dir/begun" ] || start_unit
    clock
    deadline=$((uptime + patience))
    while [ ! -e "$dir/result" ] && clock && [ "$uptime" -lt "$deadline" ] && in_progress; do sleep 0.1; done
    hand_out
}

# This script may run twice; each file is whole at once.
make_directory() {
    own_directory "$run_dir" || refuse no-directory "$run_dir is not a directory of root's alone"
    mkdir -m 0700 "$dir" 2>/dev/null || [ -d "$dir" ] || refuse no-space "cannot make $dir"
    find_interpreter
    printf '%s\n' "$program" >"$dir/program.$$" && mv -f "$dir/program.$$" "$dir/program" &&
        { printf '%s\n' "$values" && fact interpreter "$interpreter"; } >"$dir/values.$$" && mv -f "$dir/values.$$" "$dir/values" || {
        rm -rf "$dir"
        refuse no-space "cannot write to $run_dir: $(df -h "$run_dir" | tail -n 1)"
    }
}

# The name of a deployment's unit is the lock: while this one has it, none can begin, and the other way round.
start_unit() {
    local active said tries
    tries=0
    while [ ! -e "$dir/begun" ]; do
        # shellcheck disable=SC2086 # the interpreter may be two words
        said=$(timeout -k 5 60 systemd-run --quiet --collect --no-ask-password --service-type=exec --unit="$unit" \
            --description="removes old generations ($id)" -p WorkingDirectory=/ -p UMask=0077 -p TimeoutStopSec=30 \
            -p RuntimeMaxSec="$runtime_limit" -E DEPLOY_FLAKE_PRUNE="$id" ${LOCALE_ARCHIVE:+-E LOCALE_ARCHIVE} \
            $interpreter "$dir/program" prune "$dir" 2>&1) && break
        tries=$((tries + 1))
        active=$(sc show -p ActiveState --value "$unit")
        [ "$active" != failed ] || sc reset-failed "$unit" 2>/dev/null
        if [ "$tries" -ge 10 ]; then
            read_line "$run_dir/current"
            answer holder "$line"
            answer holder_about "$(cat "$run_dir/$line/about" 2>/dev/null)"
            rm -rf "$dir"
            [ "$active" = failed ] || [ "$active" = inactive ] || refuse busy "is busy with ${line:-something else}"
            refuse no-unit "$(no_unit "$unit" "$said")"
        fi
        sleep 0.1
    done
}

# in_progress: whether some unit still carries out this very removal.
in_progress() {
    is_up "$unit" && [ "$(unit_environment DEPLOY_FLAKE_PRUNE "$unit")" = "$id" ] || is_up "deploy-flake-garbage-$id.service"
}

is_up() {
    case $(sc show -p ActiveState --value -- "$1" 2>/dev/null) in
    active | activating | deactivating | reloading) return 0 ;;
    *) return 1 ;;
    esac
}

hand_out() {
    local number
    if [ ! -e "$dir/result" ] && ! in_progress && sleep 0.5 && [ ! -e "$dir/result" ]; then answer result "killed"; fi
    [ -e "$dir/result" ] || return 0
    answer result "$(cat "$dir/result")"
    [ ! -e "$dir/removed" ] || while read -r number; do answer removed "$number"; done <"$dir/removed"
    answer boot_written "$([ -e "$dir/boot-written" ] && echo yes)"
    answer garbage "$(cat "$dir/garbage" 2>/dev/null)"
    answer garbage_log "$(cat "$dir/garbage-log" 2>/dev/null)"
    answer log "$(tail -n 20 "$dir/log" 2>/dev/null)"
    answer_file_systems
}

main </dev/null
exit
