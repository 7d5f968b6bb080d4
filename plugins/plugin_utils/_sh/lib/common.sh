# What every script on the host needs. Prepended to each of them; nothing runs here.
# shellcheck shell=sh

LC_ALL=C
export LC_ALL
umask 077

run_dir=/run/deploy-flake
var_dir=/var/lib/deploy-flake
roots=/nix/var/nix/gcroots/deploy-flake
profile=/nix/var/nix/profiles/system
unit=deploy-flake.service
newline='
'

# The tools of the system that runs now, whatever PATH the login brought.
PATH=/run/wrappers/bin:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
export PATH

# Answers are fields "name NUL value NUL" behind a marker, so that no byte of a value can be mistaken for structure.
# The line on standard error is for a controller that loses the connection later on: it tells that the host was there.
answer_begin() {
    echo "deploy-flake has begun" >&2
    printf '\001deploy-flake\001'
}
answer() { printf '%s\0%s\0' "$1" "$2"; }
# refuse CODE MESSAGE: the one way in which a script says no.
refuse() { answer refused "$1"; answer message "$2"; exit 0; }

now() { read -r uptime _ </proc/uptime; echo "${uptime%.*}"; }
# clock: the same in $uptime; no fork.
clock() { read -r uptime _ </proc/uptime && uptime=${uptime%.*}; }

# With PID 1 frozen, systemctl blocks for ever.
sc() { timeout -k 5 30 systemctl --no-pager "$@"; }

# units_in STATES OPTION…: their names; fails where systemd does not answer, which is something else than a list without a name.
units_in() {
    wanted_state=$1
    shift
    # While it is executed anew it refuses connections, for a moment; one that hangs was waited for already.
    clock
    refused_until=$((uptime + 20))
    until listed=$(sc list-units --state="$wanted_state" "$@" --plain --no-legend --full 2>/dev/null); do
        [ "$?" = 1 ] && clock && [ "$uptime" -lt "$refused_until" ] || return 1
        sleep 0.5
    done
    each_first_word not_ours "$listed"
}

# each_first_word FUNCTION LINES: calls it with the first word of each line. Not by a pipe, which a shell reads byte by byte in
# a process of its own; nor by a here-document, since bash may write that to the disk, which may be full.
each_first_word() {
    old_ifs=$IFS
    IFS=$newline
    set -f
    for each_line in $2; do
        each_line=${each_line#"${each_line%%[! ]*}"}
        "$1" "${each_line%% *}"
    done
    set +f
    IFS=$old_ifs
}

print_line() { printf '%s\n' "$1"; }
not_ours() { case $1 in deploy-flake*) ;; *) print_line "$1" ;; esac; }

failed_units() { units_in failed; }

# Root's own directory: no link, nobody else's, no rights for others.
own_directory() {
    [ -d "$1" ] || mkdir -m 0700 "$1" 2>/dev/null
    [ -d "$1" ] && [ ! -L "$1" ] && [ "$(stat -c %u:%a "$1")" = "0:700" ]
}

# tools_work: every limit rests on this one; one that does nothing would make all commands look as if they had worked.
tools_work() { [ "$(timeout -k 5 20 echo yes)" = yes ] && [ "$(readlink -f /proc/self/cwd)" != "" ]; }

# A deployment is open until its state is one of these.
final_states="committed rolled-back rollback-failed commit-failed refused superseded interrupted"
is_final() { case " $final_states " in *" ${1:-none} "*) return 0 ;; *) return 1 ;; esac; }

# wait_for_line SECONDS FILE LINE…: until one of these lines is in the file, or somebody adds it; no, if there is none by then.
# In one go, since looking again and again would cost most where many hosts are busy. busybox's tail does not see that
# nobody reads any more, and takes no part of a second: there it ends at once, and the file is read again and again.
wait_for_line() {
    wait_at_most=$1
    clock
    wait_until=$((uptime + wait_at_most))
    lines_in=$2
    shift 2
    {
        timeout -k 1 "$wait_at_most" tail -n +1 -s 0.2 -f "$lines_in" &
        echo "$!"
        wait "$!"
    } 2>/dev/null | {
        read -r its_tail
        # On a busy machine tail may have been faster than the line with its number.
        case " $* " in *" $its_tail "*) exit 0 ;; esac
        comes_along "$@" && { kill "$its_tail" 2>/dev/null || :; }
    } && return 0
    while clock && [ "$uptime" -lt "$wait_until" ] && [ -e "$lines_in" ]; do
        sleep 0.2
        comes_along "$@" <"$lines_in" && return 0
    done
    return 1
}

# comes_along LINE…: whether one of them does, on standard input.
comes_along() {
    while read -r new_line; do
        case " $* " in *" $new_line "*) return 0 ;; esac
    done
    return 1
}

# content FILE: nothing if it is not there; then no process either.
content() { [ ! -s "$1" ] || cat "$1"; }

# read_line FILE: its first line, nothing if it is not there; no fork.
read_line() { line=; if [ -e "$1" ]; then read -r line <"$1" || :; fi; }

# require_root: no process is started for the answer that nearly all scripts get.
require_root() {
    while read -r key _ me _; do
        [ "$key" != Uid: ] || break
    done </proc/self/status
    [ "$me" = 0 ] || refuse not-root "needs root on the host, and is $(id -un)"
}

# tool NAME: its path, where the shell would say that it is a builtin.
tool() {
    old_ifs=$IFS
    IFS=:
    for at in $PATH; do
        [ ! -x "$at/$1" ] || { IFS=$old_ifs && echo "$at/$1" && return; }
    done
    IFS=$old_ifs
    return 1
}

# lend_nix_config DIRECTORY UNIT: $nix_config, which may hold secrets, as a credential of the unit; nothing but its path is in
# the unit or the environment. Nix reads the user's own configuration as well.
lend_nix_config() {
    credential=
    [ -n "$nix_config" ] || return 0
    printf '%s\n' "$nix_config" >"$1/nix.conf"
    credential=nix.conf:$1/nix.conf
    home=$(getent passwd "$login_user" | cut -d: -f6)
    config_files=/run/credentials/$2/nix.conf:$home/.config/nix/nix.conf
}

# switching_units PATTERN…: what is switching the host beside us; and the units of these names that are at work.
switching_units() {
    each_first_word print_line "$(sc list-units --state=active,activating,deactivating --plain --no-legend --full 'nixos-upgrade.service' 'nixos-rebuild-switch-to-configuration*' "$@")"
}

boot_default() { [ ! -e "$profile" ] || readlink -f "$profile"; }
current_generation() {
    link=$(readlink "$profile" 2>/dev/null) || link=
    case $link in
    system-*-link) link=${link#system-} && echo "${link%-link}" ;;
    esac
}

# open_field NAME: of the durable record of the deployment that is open or was interrupted; nothing where there is none.
open_field() { field_of "$1" "$var_dir/open.json"; }

# field_of NAME FILE: of a durable record, which has a line for each field.
field_of() { [ ! -e "$2" ] || sed -n "s/^\"$1\": \"\([^\"]*\)\",\{0,1\}\$/\1/p" "$2" 2>/dev/null; }

# find_interpreter: what a unit runs a script with, in $interpreter, which may be two words; /bin/sh itself may be another
# system's by the time that it is run.
find_interpreter() {
    interpreter=$(readlink -f /bin/sh)
    case $interpreter in */busybox) interpreter="$interpreter sh" ;; esac
}

# other_parts SYSTEM: which of the kernel and what belongs to it are not those that were booted.
other_parts() {
    for part in initrd kernel kernel-modules; do
        # shellcheck disable=SC3013 # of POSIX since 2024, and of every shell that is tested
        [ "/run/booted-system/$part" -ef "$1/$part" ] || { [ ! -e "/run/booted-system/$part" ] && [ ! -e "$1/$part" ]; } || echo "$part"
    done
}
answer_reboot_for() { for part in $(other_parts "$1"); do answer reboot_for "$part"; done; }

allowed() { case " $allow " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

# is_system_of LIVE TOPLEVEL: whether what runs is this system, or one of its specialisations.
is_system_of() {
    [ "$1" != "$2" ] || return 0
    for specialised in "$2"/specialisation/*; do
        [ ! -e "$specialised" ] || [ "$(readlink -f "$specialised")" != "$1" ] || return 0
    done
    return 1
}

# tested_boot_default LIVE DEFAULT: whether the host would boot what it runs, or that does not matter; says what is wrong.
# A specialisation boots from the entry of its own; the boot default is the system that it belongs to.
tested_boot_default() {
    [ "$mode" = boot ] || [ -z "$2" ] || is_system_of "$1" "$2" || [ "$2" = "$new" ] || allowed untested_boot_default || {
        echo "runs $1, but would boot $2: somebody tested the one or did not restart into the other"
        return 1
    }
}

# drop_root PATH, drop_all_roots: lets garbage collection have a flake or a system again that no deployment came of. The
# roots of a deployment itself are its own business.
drop_root() {
    [ -n "$1" ] || return 0
    rm -f "$roots/${1##*/}"
    rmdir "$roots" 2>/dev/null
}
drop_all_roots() {
    for root in "$roots"/*; do
        case $root in
        "$roots"/deployment-*) ;;
        *) rm -f "$root" ;;
        esac
    done
    rmdir "$roots" 2>/dev/null
}

# quote VALUE: as a word of a shell.
quote() {
    case $1 in
    *"'"*) printf "'" && printf '%s' "$1" | sed "s/'/'\\\\''/g" && printf "'" ;;
    *) printf "'%s'" "$1" ;;
    esac
}

# fact NAME VALUE: as an assignment, for a file that a shell reads.
fact() {
    printf '%s=' "$1"
    quote "$2"
    echo
}
