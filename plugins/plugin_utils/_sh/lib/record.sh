# The state of a deployment in its directory, and its line for ever in deployments.jsonl.
# inputs: only_secrets
# needs: base boot_loader booted deployed_secrets durable json live log open_marks own_storage profile recorded_outcome soft_reboot states
# shellcheck shell=sh

# state NAME: by rename, so that a reader sees the old one or the new one. Standard output is the journal. A supervisor whose state
# cannot be written must not go on: it ends, and the undo begins.
state() {
    { printf '%s\n' "$1" >"$dir/state.new.$$"; } 2>/dev/null && mv -f "$dir/state.new.$$" "$dir/state" || {
        echo "deployment $id: its state could not be written to $dir" >&2
        [ "${may_die-}" != yes ] || exit 1
        return 1
    }
    # For whoever waits for it.
    { echo "$1" >>"$dir/states"; } 2>/dev/null || :
    echo "deployment $id: $1"
}

# Whether what was booted is not what the new system wants: its kernel and what belongs to it, or all of it if it does not run.
reboot_required() {
    # No reboot leads to it.
    [ "$1" != until-reboot ] || { echo no && return; }
    [ "$mode" = test ] || [ "$(live_system)" = "$new" ] || { echo yes && return; }
    if [ -n "$(other_parts "$new_live")" ]; then echo yes; else echo no; fi
}

# record OUTCOME: no, where it could not be made whole.
record() {
    local boot_id field log_file rung
    read_line /proc/sys/kernel/random/boot_id
    boot_id=$line
    read_line "$dir/rung"
    rung=$line
    read_line "$dir/about"
    printf '{%s, ' "$line" || return 1
    for field in "outcome $1" "started $started" "ended $(date -u +%Y-%m-%dT%H:%M:%SZ)" "phase ${phase-}" "rung $rung" "mode $mode" "only_secrets ${only_secrets:-no}" "reboot_required $(reboot_required "$1")" "boot_id $boot_id" \
        "from ${previous_live-}" "from_boot ${previous_boot-}" "from_generation ${previous_generation-}" "to $new" "to_live $new_live" \
        "live $(live_system)" "boot $(leads_to "$profile")" "generation $(current_generation)"; do
        json_field "${field%% *}" "${field#* }" && printf ', ' || return 1
    done
    [ -z "${boot_ran-}" ] || { json_field boot_ran "$boot_ran" && printf ', '; } || return 1
    for field in why_code why notes failed_units:failed journal; do
        json_file "${field%:*}" "$dir/${field#*:}" && printf ', ' || return 1
    done
    ask_loader
    json_field loader "$loader" && printf ', ' && json_field loader_default "$loader_starts" && printf ', ' || return 1
    log_file=$dir/log
    json log && printf ': ' && log_for_people | json_text && printf ', ' || return 1
    log_file=$dir/undo.log
    json undo_log && printf ': ' && { [ ! -e "$log_file" ] || log_for_people | tail -c 8192; } | json_text && printf '}\n'
}

# write_line: the record in deployments.jsonl, once, and whole or not at all: a full disk takes half a line.
write_line() {
    local half size written zeros
    written=$var_dir/deployments.jsonl
    if ! grep -q "^{\"id\": \"$id\".*}\$" "$written" 2>/dev/null; then
        size=$(stat -c %s "$written" 2>/dev/null) || size=0
        # What a power loss has cut off is no line, and one that it has left zeros in is none.
        # A tool that fails says neither.
        zeros=$(tail -n 1 "$written" 2>/dev/null | tr -cd '\000' | wc -c)
        if [ "${zeros:-0}" != 0 ] || [ -n "$(tail -c 1 "$written" 2>/dev/null)" ]; then
            half=$(tail -n 1 "$written" | wc -c)
            size=$((size - half))
            truncate -s "$size" "$written"
        fi
        # In one write.
        [ -s "$dir/record" ] && cat "$dir/record" >>"$written" && sync -f "$written" || {
            truncate -s "$size" "$written"
            return 1
        }
    fi
    { printf '' >"$dir/recorded"; } 2>/dev/null
}

# finish OUTCOME: the line first, which decides, then the state that tells everybody that it is over.
finish() {
    make_record "$1"
    write_line || echo "deployment $id: its line could not be written to $var_dir/deployments.jsonl" >&2
    close "$1"
}

# finish_by_its_line OUTCOME: where nothing but the line says that it was confirmed. No, where it could not be written: then nothing has ended.
finish_by_its_line() {
    make_record "$1"
    # What comes after the line may have failed.
    write_line || [ "$(recorded_outcome)" = "$1" ] || {
        rm -f "$dir/record"
        return 1
    }
    close "$1"
}

# make_record OUTCOME: the line in $dir/record, or none.
make_record() {
    local text tries
    tries=0
    # Where the undo has not asked for it: what it has found is what the outcome says.
    case $1:${secrets_left-} in refused: | rolled-back: | rollback-failed: | interrupted:) change_of_secrets back || : ;; esac
    # In one piece, so that a record which did not fit is seen. One that was cut off was so by a lack of memory or of processes, which mostly is
    # over soon.
    until text=$(record "$1"); do
        tries=$((tries + 1))
        [ "$tries" -lt 10 ] || { text= && break; }
        sleep 1
    done
    [ -n "$text" ] && { printf '%s\n' "$text" >"$dir/record.new.$$"; } 2>/dev/null && mv -f "$dir/record.new.$$" "$dir/record" || rm -f "$dir/record"
}

# close OUTCOME: all that comes after the line; again, where it was cut off.
close() {
    # While it is still open: what a power loss leaves after that, nobody looks for. The first is one that did not fit on the disk.
    [ ! -e "$var_dir/open.json.new" ] || rm -f "$var_dir/open.json.new"
    # While its marks are there, which tell a boot that they were confirmed. Where it cannot be done they stay, for the next deployment.
    keeps_secrets "$1" || {
        state "$1"
        return
    }
    # Its line tells a repair what has become of it. Without one its marks do, as long as it is open.
    [ -z "$(recorded_outcome)" ] || drop_marks
    keeps_systems "$1" || rm -f "$roots/deployment-$id"-*
    [ "$(open_field id)" != "$id" ] || { rm -f "$var_dir/open.json" && sync -f "$var_dir"; }
    drop_marks
    sync -f "$var_dir"
    state "$1"
}

# keeps_secrets OUTCOME: where that is one with which they stay. No, where they could not be kept.
keeps_secrets() { case $1 in committed | commit-failed | superseded) change_of_secrets keep ;; esac; }

# drop_marks: those of another deployment are for its own repair.
drop_marks() {
    local leftover
    for leftover in confirmed undone last-resort; do
        [ ! -e "$var_dir/open.$leftover.new" ] || rm -f "$var_dir/open.$leftover.new"
        ! is_marked "$leftover" || rm -f "$var_dir/open.$leftover"
    done
}

# keeps_systems OUTCOME: only what went wrong keeps its systems from garbage collection.
keeps_systems() { case $1 in rollback-failed | commit-failed) return 0 ;; *) return 1 ;; esac; }

# A deployment that has ended leaves its line and nothing else.
clean_up() {
    read_line "$dir/state"
    is_final "$line" || return 0
    # A flake or a system that somebody has named again since this deployment began stays, and so do the systems of a deployment that went
    # wrong, until a later one has committed. One of secrets alone has written neither profile nor boot loader.
    if [ "$line:${only_secrets:-no}" = committed:no ]; then set --; else set -- ! -name 'deployment-*'; fi
    keeps_systems "$line" || {
        find "$roots" -type l ! -newer "$dir/settings" "$@" -exec rm -f {} + 2>/dev/null
        rmdir "$roots" 2>/dev/null
    }
    # Of a look in check mode that was cut off.
    [ ! -e "$var_dir/check-mode" ] || rm -f "$var_dir/check-mode"
    [ ! -d "$secrets_dir/$id" ] || { staged=$secrets_dir/$id && drop_staged; }
    read_line "$run_dir/current"
    [ "$line" != "$id" ] || rm -f "$run_dir/current"
    # Whoever was ended before it had that name.
    [ ! -e "$run_dir/current.$id" ] || rm -f "$run_dir/current.$id"
    forget_soft_reboot
    # Without its line on disk, the directory is the only witness: it stays until the next deployment, which tries again.
    if [ -e "$dir/recorded" ] || write_line; then remove_directory "$dir"; fi
}
