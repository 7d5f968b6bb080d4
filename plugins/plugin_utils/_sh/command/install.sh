# Starts an installation in a unit of its own, or finds it begun, and tells how far it is.
# job: what is installed where, in one word. id: of the task that asks, which starts it once. begun: whether that has had an answer already.
# boot_id: of the boot in which its disks were looked at. values: what the program has to know, as assignments. host_keys: one a line, PATH and
# content in base64. offset: how much of the log is known.
# programs of units: program=install
# settings of units: values=install
# inputs: job id begun boot_id program values host_keys runtime_limit offset patience
# needs: base block_devices disks free_space install_unit installed interpreter own_directory quote
# shellcheck shell=sh

main() {
    local deadline
    answer_begin
    require_root
    # What was begun is over then, and what was looked at may be another disk.
    read_line /proc/sys/kernel/random/boot_id
    [ "$line" = "$boot_id" ] || refuse rebooted "has rebooted since its disks were looked at"
    own_directory "$run_dir" || refuse no-directory "$run_dir is not a directory of root's alone"
    dir=$run_dir/install
    take_turn
    # No program that is started here keeps the turn, however long it lives.
    start 8<&-
    exec 8<&-
    clock
    deadline=$((uptime + patience))
    while clock && [ "$uptime" -lt "$deadline" ] && in_progress; do sleep 0.5; done
    hand_out
}

# start: unless this task has started it already, or another one, or it is done and was not rebooted yet.
start() {
    local said tries
    ! grep -q -x "$id" "$dir/ids" 2>/dev/null || return 0
    if is_done "$job" "$toplevel"; then
        answer attached yes
        return
    fi
    [ "$begun" = no ] || refuse killed "knows nothing of this installation any more: another controller has begun anew, or $run_dir was emptied"
    if in_progress; then
        read_line "$dir/job"
        [ "$line" = "$job" ] || refuse busy "installs something else already, for another controller, or systemd does not say whether it does"
        printf '%s\n' "$id" >>"$dir/ids" || refuse no-space "cannot write to $run_dir"
        answer attached yes
        return
    fi
    say_erased
    find_mark
    [ -z "$mark" ] || refuse_done
    leave_root
    look_at_disks no
    rm -rf "$dir" "$mark_copy"
    mkdir -m 0700 "$dir" || no_room
    find_interpreter
    # Nobody else would take the keys away, if this ended before the unit has begun.
    trap 'in_progress || rm -rf "$dir"; exit 1' HUP INT TERM
    put_keys || no_room
    { printf '%s\n' "$program" >"$dir/program" && { printf '%s\n' "$values" && fact erasable "$erasable"; } >"$dir/values" &&
        printf '%s\n' "$job" >"$dir/job" && printf '' >"$dir/log" && printf '%s\n' "$id" >"$dir/ids"; } || no_room
    tries=0
    # shellcheck disable=SC2086 # the interpreter may be two words
    until said=$(timeout -k 5 60 systemd-run --quiet --collect --no-ask-password --service-type=exec --unit="$install_unit" \
        --description="installs NixOS for deploy-flake" -p WorkingDirectory=/ -p TimeoutStopSec=120 -p RuntimeMaxSec="$runtime_limit" \
        -p ExecStopPost="$interpreter $dir/program ended $dir" -E PATH="$PATH" ${LOCALE_ARCHIVE:+-E LOCALE_ARCHIVE} \
        $interpreter "$dir/program" install "$dir" 2>&1 8>&-); do
        [ ! -e "$dir/begun" ] || break
        tries=$((tries + 1))
        if [ "$tries" -ge 5 ]; then
            # It may run all the same, where the answer was lost; then what it works with stays.
            in_progress || rm -rf "$dir"
            refuse no-unit "$(no_unit "$install_unit" "$said")"
        fi
        sc reset-failed "$install_unit" 2>/dev/null
        sleep 0.2
    done
    trap - HUP INT TERM
}

# leave_root: what an earlier attempt since the boot has left mounted there, and as swap.
leave_root() {
    local device erased said swaps
    erased=$(erased_disks)
    swaps=$(sed 1d /proc/swaps)
    while read -r device _; do
        case $device in
        "$root"/*) is_on_disks "$root" "$erased" || continue ;;
        /dev/*) device=$(readlink -f "$device") && lie_on "${device#/dev/}" "$erased" || continue ;;
        *) continue ;;
        esac
        said=$(timeout -k 5 120 swapoff "$device" 8>&- 2>&1) || refuse disk-in-use "could not end the swap that an earlier attempt has left: $said"
    done <<END
$swaps
END
    while is_on_disks "$root" "$erased"; do
        said=$(timeout -k 5 60 umount -R "$root" 8>&- 2>&1) || refuse disk-in-use "could not unmount what an earlier attempt has left: $said"
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

# hand_out: the result once the unit is over, with its end, in which other disks can be written to again. It is looked for first, so that a log read
# after it is whole.
hand_out() {
    local result
    result=
    if ! in_progress; then
        read_line "$dir/result"
        result=${line:-killed}
        # Its mark is the last thing that it writes; what came after it has no say.
        case $result in killed | stopped | no-space) ! is_done "$job" "$toplevel" || result=ok ;; esac
    fi
    read_line "$dir/step"
    answer step "$line"
    say_erased
    printf 'log\0'
    [ ! -e "$dir/log" ] || tail -c "+$((offset + 1))" "$dir/log" | head -c 65536 | base64
    printf '\0'
    [ -n "$result" ] && [ $(($(stat -c %s "$dir/log" 2>/dev/null || echo 0) - offset)) -le 65536 ] || return 0
    answer result "$result"
    [ "$result" != ok ] || [ -z "$mark" ] || sed 1d "$mark" | while read -r line; do answer host_key "$line"; done
}

main </dev/null
exit
