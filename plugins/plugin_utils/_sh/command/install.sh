# Starts an installation in a unit of its own, or finds it begun, and tells how far it is.
# job: what is installed where, in one word. id: of the task that asks, which starts it once. values: what the program has to know, as
# assignments. host_keys: one a line, PATH and content in base64. offset: how much of the log is known.
# programs of units: program=install
# settings of units: values=install
# inputs: job id program values host_keys runtime_limit offset patience
# needs: base disks free_space interpreter own_directory quote
# shellcheck shell=sh

install_unit=deploy-flake-install.service

main() {
    local deadline
    answer_begin
    require_root
    own_directory "$run_dir" || refuse no-directory "$run_dir is not a directory of root's alone"
    dir=$run_dir/install
    exec 8<"$run_dir"
    flock -w 60 8 || refuse no-lock "has been starting an installation for another controller for more than 60 s"
    start
    exec 8<&-
    clock
    deadline=$((uptime + patience))
    while [ ! -e "$dir/result" ] && clock && [ "$uptime" -lt "$deadline" ] && in_progress; do sleep 0.5; done
    hand_out
}

in_progress() {
    case $(sc show -p ActiveState --value -- "$install_unit" 2>/dev/null) in
    active | activating | deactivating | reloading) return 0 ;;
    *) return 1 ;;
    esac
}

# start: unless this task has started it already, or it is in progress, or was done by an earlier run that did not get to the reboot.
start() {
    local active done_before said tries
    ! grep -q -x "$id" "$dir/ids" 2>/dev/null || return 0
    active=no
    ! in_progress || active=yes
    read_line "$dir/result"
    done_before=$line
    read_line "$dir/job"
    if [ "$line" = "$job" ] && { [ "$active" = yes ] || [ "$done_before" = ok ]; }; then
        answer attached yes
        printf '%s\n' "$id" >>"$dir/ids"
        return
    fi
    [ "$active" = no ] || refuse busy "installs something else already, for another controller"
    look_at_disks
    rm -rf "$dir"
    mkdir -m 0700 "$dir" || no_room
    find_interpreter
    put_keys || no_room
    { printf '%s\n' "$program" >"$dir/program" && { printf '%s\n' "$values" && fact erasable "$erasable"; } >"$dir/values" &&
        printf '%s\n' "$job" >"$dir/job" && printf '' >"$dir/log" && printf '%s\n' "$id" >"$dir/ids"; } || no_room
    tries=0
    # shellcheck disable=SC2086 # the interpreter may be two words
    until said=$(timeout -k 5 60 systemd-run --quiet --collect --no-ask-password --service-type=exec --unit="$install_unit" \
        --description="installs NixOS for deploy-flake" -p WorkingDirectory=/ -p TimeoutStopSec=30 -p RuntimeMaxSec="$runtime_limit" \
        -p ExecStopPost="$interpreter $dir/program ended $dir" -E PATH="$PATH" ${LOCALE_ARCHIVE:+-E LOCALE_ARCHIVE} \
        $interpreter "$dir/program" install "$dir" 2>&1); do
        [ ! -e "$dir/begun" ] || break
        tries=$((tries + 1))
        if [ "$tries" -ge 5 ]; then
            rm -rf "$dir"
            refuse no-unit "$(no_unit "$install_unit" "$said")"
        fi
        sc reset-failed "$install_unit" 2>/dev/null
        sleep 0.2
    done
}

no_room() {
    rm -rf "$dir"
    refuse no-space "cannot write to $run_dir: $(df -h "$run_dir" | tail -n 1)"
}

# put_keys: where only the unit finds them; their names are numbers. By a pipe: bash may write a here-document to a disk.
put_keys() {
    local content number path
    mkdir -m 0700 "$dir/keys" || return
    number=0
    printf '%s\n' "$host_keys" | while read -r path content; do
        [ -n "$path" ] || continue
        number=$((number + 1))
        { printf '%s\n' "$path" >"$dir/keys/$number.path" && printf '%s' "$content" | base64 -d >"$dir/keys/$number"; } || exit 1
    done
}

# hand_out: the result is looked for first, so that a log read after it is whole.
hand_out() {
    local result
    result=
    if [ -e "$dir/result" ]; then
        read_line "$dir/result"
        result=$line
    elif ! in_progress && sleep 0.5; then
        read_line "$dir/result"
        result=${line:-killed}
    fi
    read_line "$dir/step"
    answer step "$line"
    [ ! -e "$erased_list" ] || answer erased yes
    printf 'log\0'
    [ ! -e "$dir/log" ] || tail -c "+$((offset + 1))" "$dir/log" | head -c 65536 | base64
    printf '\0'
    [ -n "$result" ] && [ $(($(stat -c %s "$dir/log" 2>/dev/null || echo 0) - offset)) -le 65536 ] || return 0
    answer result "$result"
    [ ! -e "$dir/public" ] || while read -r line; do answer host_key "$line"; done <"$dir/public"
}

main </dev/null
exit
