# A deployment's directory, and how its own processes find their way in it.
# inputs: mode only_secrets
# facts: new new_live interpreter login_user guard_deadline allow
# facts: previous_live previous_boot previous_generation highest_generation tools cgroup invocation main_process started boot_id
# needs: base highest_generation invocations json live fstab process profile profile_owner quote ssh units whose
# shellcheck shell=sh disable=SC1091

# load DIRECTORY: the settings that the controller gave, and the facts that the supervisor noted before it changed anything.
load() {
    dir=$1
    . "$dir/settings"
    id=${dir##*/}
    log_file=$dir/log
    # A test that turned out to need a reboot.
    if [ -e "$dir/mode" ]; then mode=boot; fi
    facts=no
    if [ -e "$dir/facts" ]; then
        . "$dir/facts"
        facts=yes
        # The tools of the system that ran before: a broken one of the new system must not make an undo believe that it worked.
        PATH=$tools
        export PATH
    fi
    cd /
}

# wanted_units STATES: sockets first, since none can be started while its service runs.
wanted_units() {
    local others wanted wanted_unit
    # Not what comes and goes with a login, a connection or a mount of systemd's own.
    wanted=$(units_in "$1" --type=service,socket,timer,mount,automount,swap,path) || return 1
    others=
    for wanted_unit in $wanted; do
        case $wanted_unit in
        user@* | user-runtime-dir@* | run-user-* | run-credentials* | session-* | ssh@* | sshd@*) ;;
        *.socket) printf '%s\n' "$wanted_unit" || return 1 ;;
        *) others="$others$wanted_unit$newline" ;;
        esac
    done
    printf '%s' "$others"
}

# note_facts: all that the undo needs, before anything is changed.
note_facts() {
    local text
    previous_live=$(live_system)
    previous_boot=$(boot_default)
    note_links || return 1
    # There then, where nothing can be made any more.
    : >>"$dir/undoing"
    wanted_units active >"$dir/active" || return 1
    note_invocations "$dir/invocations" || return 1
    mounts_here >"$dir/mounts" || return 1
    look_at_sshd
    host_keys >"$dir/host-keys"
    login_keys >"$dir/login-keys"
    tools_of "$previous_live"
    # In one piece, so that a write which fails is seen; and whole, or not at all.
    text=$(
        fact previous_live "$previous_live" &&
            fact previous_boot "$previous_boot" &&
            fact previous_generation "$(current_generation)" &&
            fact highest_generation "$(highest_generation)" &&
            fact tools "$tools" &&
            place_facts &&
            own_cgroup &&
            fact cgroup "$line" &&
            fact invocation "${INVOCATION_ID-}" &&
            fact main_process "$$" &&
            fact started "$(date -u +%Y-%m-%dT%H:%M:%SZ)" &&
            read_line /proc/sys/kernel/random/boot_id &&
            fact boot_id "$line"
    ) || return 1
    { printf '%s\n' "$text" >"$dir/facts.new"; } && mv -f "$dir/facts.new" "$dir/facts" || return 1
    load "$dir"
}

# open_durably: the record that survives a power loss, and the roots that survive a garbage collection.
open_durably() {
    local kept systems target
    mkdir -p "$roots" || return 1
    systems=
    for kept in "new $new" "live $previous_live" "boot $previous_boot"; do
        target=${kept#* }
        [ -n "$target" ] || continue
        ln -sfn "$target" "$roots/deployment-$id-${kept%% *}" || return 1
        systems="$systems $target"
    done
    # shellcheck disable=SC2086 # words
    limited 60 nix-store --check-validity $systems || return 1
    {
        printf '{\n' &&
            json_field id "$id" && printf ',\n' &&
            json_field boot_id "$boot_id" && printf ',\n' &&
            json_field started "$started" && printf ',\n' &&
            json_field previous_live "$previous_live" && printf ',\n' &&
            json_field previous_boot "$previous_boot" && printf ',\n' &&
            json_field previous_generation "$previous_generation" && printf ',\n' &&
            json_field highest_generation "$highest_generation" && printf ',\n' &&
            json_field new "$new" && printf ',\n' &&
            json_field new_live "$new_live" && printf ',\n' &&
            json_field only_secrets "$only_secrets" && printf ',\n' &&
            read_line "$dir/about" &&
            printf '"about": {%s}\n}\n' "$line"
    } >"$var_dir/open.json.new" && sync -f "$var_dir/open.json.new" && mv -f "$var_dir/open.json.new" "$var_dir/open.json" &&
        sync -f "$var_dir" "$roots"
}
