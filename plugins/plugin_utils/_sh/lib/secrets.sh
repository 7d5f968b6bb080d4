# Which of the secrets that were sent are not on the host as they should be, and which files that comes to.
# A line of `secrets`: name, path, owner, group, mode, size and the units, with tabs between them; one of the list of those that were placed has
# the first five. What lies below /run is kept in the store of secrets as well, for the next boot.
# sets: store
# needs: base replace_files
# shellcheck shell=sh

store=$var_dir/secrets

# plan_secrets STAGED: makes its `plan` and its `units`. Tells which secrets differ by `differs HOW NAME PATH`, and what may not be by
# `refuse_secret CODE MESSAGE`.
plan_secrets() {
    local gid group how mode name owner path size staged uid units
    staged=$1
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
    refuse_unsafe_path
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
        if ! cmp -s "$staged/content/$name" "$store/content/$name"; then
            plan_put "$staged/content/$name" "$store/content/$name" 0 0 400 || return 1
            how=${how:-listed}
        fi
        ;;
    esac
    printf '%s\n' "$name$tab$path$tab$owner$tab$group$tab$mode" >>"$staged/list" || return 1
    [ -n "$how" ] || { [ -e "$store/list" ] && grep -q -F -x -e "$name$tab$path$tab$owner$tab$group$tab$mode" "$store/list"; } || how=listed
    [ -z "$how" ] || differs "$how" "$name" "$path"
}

# number_of DATABASE NAME: a number stands for itself.
number_of() {
    case $2 in
    *[!0-9]*) timeout -k 5 20 getent "$1" "$2" | cut -d : -f 3 ;;
    *) printf '%s\n' "$2" ;;
    esac
}

# refuse_unsafe_path: where somebody else than root can exchange a directory above it, root would write wherever they lead it.
refuse_unsafe_path() {
    local at leads_to
    at=${path%/*}
    until [ -z "$at" ] || [ -d "$at" ]; do
        [ ! -e "$at" ] && [ ! -L "$at" ] || refuse_secret bad-secret "has a file at $at, where the secret $name needs a directory"
        at=${at%/*}
    done
    leads_to=$(readlink -f "${at:-/}")
    [ "$leads_to" = "${at:-/}" ] || refuse_secret bad-secret "has a link in $at, above the secret $name; give the path that it leads to, which is $leads_to"
    while :; do
        [ -z "$(find "${at:-/}" -maxdepth 0 "(" ! -user 0 -o -perm /022 ")")" ] ||
            refuse_secret bad-secret "would have the secret $name in ${at:-/}, in which others than root can write; put it elsewhere, such as /run/secrets or /etc/secrets"
        [ -n "$at" ] || break
        at=${at%/*}
    done
    [ ! -L "$path" ] && { [ ! -e "$path" ] || [ -f "$path" ]; } || refuse_secret bad-secret "has something at $path that is no regular file, where the secret $name is to be; remove it first"
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

plan_removal() { [ ! -f "$1" ] || [ -L "$1" ] || printf '%s\n' "remove${tab}file${tab}0${tab}0${tab}400$tab-$tab$1" >>"$staged/plan"; }

# is_sent FIELD VALUE: whether a secret was sent whose name, 1, or path, 2, that is. To awk, 1 and 01 are the same number.
is_sent() { awk -F '\t' -v field="$1" -v value="$2" '$field "" == value "" { found = 1 } END { exit !found }' "$staged/secrets"; }

# look_at_listed: what was placed before, and was not sent this time. Its name tells what has another path now.
look_at_listed() {
    [ -e "$store/list" ] || return 0
    while IFS=$tab read -r name path owner group mode; do
        if is_sent 1 "$name"; then
            is_sent 2 "$path" || { plan_removal "$path" && differs removed "$name" "$path"; } || return 1
            # It stays in the store where it is below /run.
            case $(awk -F '\t' -v name="$name" '$1 "" == name "" { print $2 }' "$staged/secrets") in /run/*) ;; *) plan_removal "$store/content/$name" || return 1 ;; esac
        elif is_sent 2 "$path"; then
            plan_removal "$store/content/$name" || return 1
        elif [ -e "$staged/remove-others" ]; then
            plan_removal "$path" && plan_removal "$store/content/$name" && differs removed "$name" "$path" || return 1
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
