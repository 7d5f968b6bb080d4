# Files that take the place of others, all or none. What was there stays beside its successor, as a link to the same file, until the change is
# kept; else it is put back. The directory `secrets.open` says which files, on the disk, from before anything is made until all is over.
# A line of its plan: what is done (directory, put or remove), whether something was there (file or none), owner, group, mode, what the new file
# is made of, and the path, with tabs between them.
# sets: tab change over
# needs: base mounts
# shellcheck shell=sh

tab=$(printf '\t')
change=$var_dir/secrets.open
# Decided: all that is left is what stands beside the files.
over=$var_dir/secrets.over

# each_planned FUNCTION PLAN: calls it for each line; the first that fails ends it.
each_planned() {
    local before group mode new old owner path put source verb
    while IFS=$tab read -r verb before owner group mode source path; do
        new=${path%/*}/.${path##*/}.deploy-flake-new
        old=${path%/*}/.${path##*/}.deploy-flake-old
        put=${path%/*}/.${path##*/}.deploy-flake-put
        "$1" || {
            not_done=$path
            return 1
        }
    done <"$2"
}

# open_change STAGED: from here on a power loss is undone.
open_change() {
    rm -rf "$change.new" && mkdir -m 0700 "$change.new" || return 1
    cat "$1/program" >"$change.new/program" && cat "$1/plan" >"$change.new/plan" && cat "$1/units" >"$change.new/units" &&
        printf '%s\n' "${1##*/}" >"$change.new/id" && cat /proc/sys/kernel/random/boot_id >"$change.new/boot" &&
        planned_mounts >"$change.new/mounts" && sync -f "$change.new" && mv -f "$change.new" "$change" && sync -f "$var_dir"
}

# planned_mounts: where what each directory of a file is on is mounted, and the directory.
planned_mounts() {
    local at
    directories_of "$change.new/plan" | while IFS= read -r at; do printf '%s\n' "$(mount_of "${at:-/}" place)$tab$at"; done
}

# directories_of PLAN: of its files, each once; nothing for the root.
directories_of() { sed -n "s/^[pr].*$tab\(.*\)\/[^/]*\$/\1/p" "$1" | sort -u; }

# make_files: all that takes room and time, before anything is replaced.
make_files() { each_planned make_one "$change/plan" && sync_planned; }

make_one() {
    case $verb in
    directory) [ -d "$path" ] || mkdir -m "$mode" "$path" ;;
    put) rm -f "$new" "$old" "$put" && cat "$source" >"$new" && chown "$owner:$group" "$new" && chmod "$mode" "$new" && keep_old ;;
    remove) rm -f "$old" && keep_old ;;
    esac
}

keep_old() { [ "$before" = none ] || ln "$path" "$old"; }

# place_files: nothing but renames. A second time it does what is left of it.
place_files() { each_planned place_one "$change/plan"; }

# shellcheck disable=SC3013 # of POSIX since 2024, and of every shell that is tested
place_one() {
    case $verb in
    put) [ "$path" -ef "$new" ] || { is_as_before && ln -f "$new" "$put" && mv -f "$put" "$path"; } ;;
    remove) [ ! -e "$path" ] || { is_as_before && rm -f "$path"; } ;;
    esac
}

# is_as_before: nobody else has put something there.
# shellcheck disable=SC3013
is_as_before() { if [ "$before" = none ]; then [ ! -e "$path" ] && [ ! -L "$path" ]; else [ "$path" -ef "$old" ]; fi; }

# put_files_back: in $not_back what could not be, in $lost what nobody has any more, in $theirs what somebody else has put there since, which
# stays. What is below /run goes with its boot.
put_files_back() {
    local boot this_boot
    not_back=
    lost=
    theirs=
    read_line "$change/boot"
    boot=$line
    read_line /proc/sys/kernel/random/boot_id
    this_boot=$line
    each_planned put_one_back "$change/plan"
    [ -z "$not_back" ] || return 1
    # Those within others first.
    sed -n "s/^directory.*$tab//p" "$change/plan" | sort -r | while read -r at; do rmdir "$at" 2>/dev/null; done
    return 0
}

# shellcheck disable=SC3013
put_one_back() {
    # What is not mounted, or has another file system over it, tells nothing of its files: neither that they are gone nor that there are none.
    [ "$verb" = directory ] || is_mounted_as_planned || {
        not_back="$not_back $path"
        return 0
    }
    # Whoever has made a link of a directory above leads root elsewhere.
    [ "$verb" = directory ] || [ ! -d "${path%/*}" ] || [ "$(readlink -f "${path%/*}")" = "${path%/*}" ] || {
        theirs="$theirs $path"
        return 0
    }
    case $verb:$before in
    put:*)
        if [ "$path" -ef "$new" ]; then
            if [ "$before" = file ]; then mv -f "$old" "$path"; else rm -f "$path"; fi || { not_back="$not_back $path" && return 0; }
        elif [ "$before" = file ]; then
            old_one_back
        fi
        # Its directory may have to go.
        rm -f "$new" "$put"
        ;;
    remove:file) old_one_back ;;
    esac
    return 0
}

# old_one_back: where what was made is not, or nothing was made.
# shellcheck disable=SC3013
old_one_back() {
    if [ -e "$path" ] || [ -L "$path" ]; then
        [ ! -e "$old" ] || [ "$path" -ef "$old" ] || { is_of_a_system && rm -f "$path" && ln "$old" "$path"; } || theirs="$theirs $path"
    elif [ -e "$old" ]; then
        ln "$old" "$path" || not_back="$not_back $path"
    elif is_lost; then
        lost="$lost $path"
    fi
}

# is_of_a_system: a link that an activation has made; it is undone with that.
is_of_a_system() {
    [ -L "$path" ] || return 1
    case $(readlink -f "$path") in /nix/store/*) return 0 ;; *) return 1 ;; esac
}

# is_mounted_as_planned: whether its directory is where it was when this began.
is_mounted_as_planned() {
    local at
    went_with_boot && return
    at=${path%/*}
    grep -q -F -x -e "$(mount_of "${at:-/}" place)$tab$at" "$change/mounts"
}

# is_lost: nobody has the old one.
is_lost() { [ ! -e "$path" ] && [ ! -L "$path" ] && ! went_with_boot; }

went_with_boot() { [ "$boot" != "$this_boot" ] && is_below_run "$path"; }

is_below_run() { case $1 in /run/*) return 0 ;; *) return 1 ;; esac; }

# end_change: what is there now stays. One rename decides it; what comes after that is tidied up, as often as it takes.
end_change() {
    # A change that is over must not be on the disk before what it has done.
    sync_planned && [ ! -e "$over" ] && mv -f "$change" "$over" && sync -f "$var_dir"
}

tidy_change() {
    [ ! -e "$over/plan" ] || each_planned tidy_one "$over/plan"
    rm -rf "$over"
}

# tidy_one: one that cannot be removed keeps no other one.
tidy_one() { [ "$verb" = directory ] || rm -f "$new" "$old" "$put" || :; }

# sync_planned: each file system that has one of them, once.
sync_planned() {
    local at
    directories_of "$change/plan" | while IFS= read -r at; do
        [ ! -d "${at:-/}" ] || printf '%s\n' "$(stat -c %d "${at:-/}") ${at:-/}"
    done | sort -u -k 1,1 | while IFS= read -r at; do sync -f "${at#* }" || exit 1; done
}
