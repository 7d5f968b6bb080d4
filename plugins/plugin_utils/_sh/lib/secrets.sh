# Which of the secrets that were sent are not on the host as they should be, and which files that comes to.
# A line of `secrets`: name, path, owner, group, mode, size and the units, with tabs between them; one of the list of those that were placed has
# the first five. What lies below /run is kept in the store of secrets as well where the next boot, of the new system or the old one, has the unit
# of the NixOS module that reads it. Of what was sent, `new` is the new system; nothing where it is the one that boots.
# sets: store
# needs: base mounts replace_files secrets_at_boot
# shellcheck shell=sh

store=$var_dir/secrets

# plan_secrets STAGED: makes its `plan` and its `units`. Tells which secrets differ by `differs HOW NAME PATH`, and what may not be by
# `refuse_secret CODE MESSAGE`.
plan_secrets() {
    local above etc_of gid group how is_kept is_there mode name new owner path size staged uid units unsafe
    staged=$1
    read_line "$staged/new"
    new=${line:-$profile}
    is_there=no
    ! brings_secrets_at_boot "$new" || is_there=yes
    is_kept=$is_there
    ! brings_secrets_at_boot "$profile" || is_kept=yes
    for name in plan units list; do printf '' >"$staged/$name" || return 1; done
    # shellcheck disable=SC2034 # the size was of use as it was received
    while IFS=$tab read -r name path owner group mode size units; do
        look_at_secret || return 1
    done <"$staged/secrets"
    look_at_listed || return 1
    plan_list
}

look_at_secret() {
    uid=$(number_of passwd "$owner")
    [ -n "$uid" ] || refuse_secret no-user "has no user $owner, who is to own the secret $name: deploy what makes the user first, or give a number"
    gid=$(number_of group "$group")
    [ -n "$gid" ] || refuse_secret no-user "has no group $group, which is to have the secret $name: deploy what makes the group first, or give a number"
    look_above "$path"
    [ -z "$unsafe" ] || refuse_secret bad-secret "cannot have the secret $name at $path, above which is $unsafe; give another path, such as one below /etc/secrets"
    look_at_etc
    [ -z "$etc_of" ] || refuse_secret bad-secret "cannot have the secret $name at $path, which is a file of $(readlink -f "$etc_of") (environment.etc): an activation puts its own there, or removes \
what is there with it. Give another path, or leave that out of the configuration and deploy without the secret first"
    [ ! -L "$path" ] && { [ ! -e "$path" ] || [ -f "$path" ]; } || refuse_secret bad-secret "has something at $path that is no regular file, where the secret $name is to be; remove it first"
    how=
    if [ ! -e "$path" ]; then
        how=added
    elif ! cmp -s "$staged/content/$name" "$path"; then
        how=content
    elif [ "$(stat -c %u:%g:%a "$path")" != "$uid:$gid:$mode" ]; then
        how=permissions
    fi
    if [ -n "$how" ]; then
        plan_put "$staged/content/$name" "$path" "$uid" "$gid" "$mode" || return 1
        if [ "$units" != - ]; then
            printf '%s\n' "$units" | tr ' ' '\n' >>"$staged/units" || return 1
        fi
    fi
    case $path in
    /run/*)
        [ -z "$how" ] || [ "$is_there" = yes ] || goes_with_boot "$name"
        keep_for_boot || return 1
        ;;
    *) [ -z "$how" ] || ! is_gone_after_boot "$above" || goes_with_boot "$name" ;;
    esac
    printf '%s\n' "$name$tab$path$tab$owner$tab$group$tab$mode" >>"$staged/list" || return 1
    [ -n "$how" ] || { [ -e "$store/list" ] && grep -q -F -x -e "$name$tab$path$tab$owner$tab$group$tab$mode" "$store/list"; } || how=listed
    [ -z "$how" ] || differs "$how" "$name" "$path"
}

# look_at_etc: in $etc_of the system that runs or is to run, if its activation deals with that path. Of what has a mode there NixOS makes a copy, which
# the next activation without it removes, whatever has taken its place: neither the old secret nor the new one would be left.
look_at_etc() {
    etc_of=
    case $path in /etc/*) ;; *) return 0 ;; esac
    for etc_of in "$new" /run/current-system; do
        # What is a directory there holds others.
        [ ! -L "$etc_of$path" ] && [ ! -f "$etc_of$path" ] || return 0
    done
    etc_of=
}

# keep_for_boot: in the store; where nothing reads it there, it is in plain text for nobody.
keep_for_boot() {
    if [ "$is_kept" = no ]; then
        [ ! -e "$store/content/$name" ] || plan_removal "$store/content/$name" || return 1
        [ ! -e "$store/content/$name" ] || how=${how:-listed}
    elif ! cmp -s "$staged/content/$name" "$store/content/$name"; then
        plan_put "$staged/content/$name" "$store/content/$name" 0 0 400 || return 1
        how=${how:-listed}
    fi
}

# bring_from_store: puts $path in its place as the list says that it was; no, where that cannot be.
bring_from_store() {
    local at group mode name owner
    [ -e "$store/list" ] && is_below_run "$path" || return 1
    while IFS=$tab read -r name at owner group mode; do
        [ "$at" = "$path" ] || continue
        [ -e "$store/content/$name" ] && rm -f "$new" && cat "$store/content/$name" >"$new" && chown "$owner:$group" "$new" &&
            chmod "$mode" "$new" && mv -f "$new" "$path"
        return
    done <"$store/list"
    return 1
}

# number_of DATABASE NAME: a number stands for itself.
number_of() {
    case $2 in
    *[!0-9]*) timeout -k 5 20 getent "$1" "$2" | cut -d : -f 3 ;;
    *) printf '%s\n' "$2" ;;
    esac
}

# look_above PATH: in $above the nearest directory that is there, and in $unsafe what is wrong with what is above, if anything. Where somebody else
# than root can exchange a directory, root would write, and remove, wherever they lead it.
look_above() {
    local at leads
    unsafe=
    at=${1%/*}
    until [ -z "$at" ] || [ -d "$at" ]; do
        [ ! -e "$at" ] && [ ! -L "$at" ] || unsafe="$at, which is no directory"
        at=${at%/*}
    done
    above=${at:-/}
    [ -z "$unsafe" ] || return 0
    leads=$(readlink -f "$above")
    [ "$leads" = "$above" ] || {
        unsafe="a link in $above, which leads to $leads"
        return 0
    }
    while :; do
        [ -z "$(find "${at:-/}" -maxdepth 0 "(" ! -user 0 -o -perm /022 ")")" ] || unsafe="${at:-/}, in which others than root can write"
        [ -n "$at" ] || break
        at=${at%/*}
    done
}

# plan_put SOURCE PATH OWNER GROUP MODE
plan_put() {
    local before
    plan_directory "${2%/*}" || return 1
    if [ -e "$2" ]; then before="file"; else before=none; fi
    printf '%s\n' "put$tab$before$tab$3$tab$4$tab$5$tab$1$tab$2" >>"$staged/plan"
}

# plan_directory PATH: and those above it.
plan_directory() {
    local mode
    [ -n "$1" ] && [ ! -d "$1" ] || return 0
    plan_directory "${1%/*}" || return 1
    case $1 in "$var_dir"/*) mode=0700 ;; *) mode=0755 ;; esac
    grep -q -F -x -e "directory${tab}none${tab}0${tab}0$tab$mode$tab-$tab$1" "$staged/plan" ||
        printf '%s\n' "directory${tab}none${tab}0${tab}0$tab$mode$tab-$tab$1" >>"$staged/plan"
}

# plan_removal_of_secret: what was safe when it was placed may not be now.
plan_removal_of_secret() {
    look_above "$path"
    [ -z "$unsafe" ] || [ ! -e "$path" ] || refuse_secret bad-secret "cannot remove the secret $name from $path, above which is $unsafe; remove it by hand, or list it again"
    plan_removal "$path" && differs removed "$name" "$path"
}

plan_removal() { [ ! -f "$1" ] || [ -L "$1" ] || printf '%s\n' "remove${tab}file${tab}0${tab}0${tab}400$tab-$tab$1" >>"$staged/plan"; }

# is_sent FIELD VALUE: whether a secret was sent whose name, 1, or path, 2, that is. To awk, 1 and 01 are the same number.
is_sent() { awk -F '\t' -v field="$1" -v value="$2" '$field "" == value "" { found = 1 } END { exit !found }' "$staged/secrets"; }

# look_at_listed: what was placed before, and was not sent this time. Its name tells what has another path now.
look_at_listed() {
    [ -e "$store/list" ] || return 0
    while IFS=$tab read -r name path owner group mode; do
        if is_sent 1 "$name"; then
            is_sent 2 "$path" || plan_removal_of_secret || return 1
            # It stays in the store where it is below /run.
            case $(awk -F '\t' -v name="$name" '$1 "" == name "" { print $2 }' "$staged/secrets") in /run/*) ;; *) plan_removal "$store/content/$name" || return 1 ;; esac
        elif is_sent 2 "$path"; then
            plan_removal "$store/content/$name" || return 1
        elif [ -e "$staged/remove-others" ]; then
            plan_removal_of_secret && plan_removal "$store/content/$name" || return 1
        else
            printf '%s\n' "$name$tab$path$tab$owner$tab$group$tab$mode" >>"$staged/list" || return 1
        fi
    done <"$store/list"
}

plan_list() {
    if [ ! -s "$staged/list" ]; then
        plan_removal "$store/list"
    else
        cmp -s "$staged/list" "$store/list" || plan_put "$staged/list" "$store/list" 0 0 400
    fi
}
