# Which run of each unit it is, by systemd's own number; and which units still run what the new system made of them.
# needs: base each_first_word fstab unit_changes units
# shellcheck shell=sh

# note_invocations FILE: which run of each unit it is now. systemd keeps that as links, which costs less than to ask it; but not of what starts
# others. Whole, or as it was: what is not in it was not changed.
note_invocations() {
    local tries
    tries=0
    printf '' >"$1.new" || return 1
    # It fails where a unit ends meanwhile.
    until [ ! -d /run/systemd/units ] || ls -l /run/systemd/units >"$1.new" 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 10 ] || return 1
    done
    # For each unit it collects all that there is to be known of it; others are in no run.
    ask_systemd show --all --state=active,activating,reloading,deactivating -p Id -p InvocationID -- '*.socket' '*.timer' '*.path' || return 1
    noted=yes its_name='' its_run=''
    each_first_word note_invocation "$told" >>"$1.new" && [ "$noted" = yes ] && mv -f "$1.new" "$1"
}

# note_invocation NAME=VALUE: in the order that systemd chooses.
note_invocation() {
    case $1 in
    Id=*) its_name=${1#*=} ;;
    InvocationID=*) its_run=${1#*=} && its_run=${its_run:-none} ;;
    esac
    [ -n "$its_name" ] && [ -n "$its_run" ] || return 0
    printf '%s -> %s\n' "$its_name" "$its_run" || noted=no
    its_name='' its_run=''
}

# list_changed: units that were started while the new system was live, were not started again since, and that it made something else of.
list_changed() {
    local name
    # The undo's first look may have had no answer.
    [ -e "$dir/invocations-new" ] || note_invocations "$dir/invocations-new" || return 1
    note_invocations "$dir/invocations-now" || return 1
    awk 'FNR == 1 { file++ }
        $(NF - 1) == "->" { name = $(NF - 2); sub(/^invocation:/, "", name); run[file, name] = $NF; if (file == 3) names[name] }
        END { for (name in names) if (run[3, name] == run[2, name] && run[3, name] != run[1, name]) print name }' \
        "$dir/invocations" "$dir/invocations-new" "$dir/invocations-now" >"$dir/same-run" || return 1
    grep -F -x -f "$dir/active-now" "$dir/same-run" >"$dir/same-run-now" || [ "$?" = 1 ] || return 1
    while read -r name; do
        if is_another_unit "$name" || is_other_mount "$name"; then printf '%s\n' "$name" || return 1; fi
    done <"$dir/same-run-now" >"$dir/changed"
}
