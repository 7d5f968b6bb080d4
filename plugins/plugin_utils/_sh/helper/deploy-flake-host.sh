# What a rule of sudo lets a login user start as root, in place of every shell: it runs the commands of the collection that came with it, and is
# sent data for them. The directory of its own commands, $helper_tree, stands before it; docs/become.md says what this is worth.
# Each command has a directory there, named by the command and the hash of all that is in it: script, programs of units, and inputs with what
# each may be. Names begin with helper_, since an input may have any other one.
# sets: helper_tree
# needs: base quote
# shellcheck shell=sh

set -f
helper_in=share/deploy-flake-host

# helper_refuse CODE MESSAGE: whoever sends something has to get rid of it first.
helper_refuse() {
    cat >/dev/null
    answer_begin
    refuse "$@"
}

helper_not_understood() { helper_refuse bad-request "was sent what its deploy-flake-host does not take: $1. Nothing was done"; }

helper_cannot_read() { helper_refuse broken-tool "cannot read $helper_at/$1, so nothing was done"; }

# helper_find: the directory of the command, in $helper_at. A system that is tried may have another version than the one that is deployed with,
# and has to be confirmed by that: so what came with the systems that the host keeps as generations counts as well.
helper_find() {
    case $helper_command in '' | *[!a-z_]*) return 1 ;; esac
    case $helper_hash in '' | *[!0-9a-f]*) return 1 ;; esac
    set +f
    for helper_at in "$helper_tree" /run/booted-system/sw/"$helper_in" "$profile"-*-link/sw/"$helper_in"; do
        helper_at=$helper_at/$helper_command/$helper_hash
        [ ! -f "$helper_at/script" ] || break
    done
    set -f
    [ -f "$helper_at/script" ]
}

# helper_kind NAME: what the input may be, in $helper_kind; no, if the command does not declare it.
helper_kind() {
    case $helper_declared in *"$newline$1 "*) ;; *) return 1 ;; esac
    helper_kind=${helper_declared#*"$newline$1 "}
    helper_kind=${helper_kind%%"$newline"*}
}

# helper_take LINE: name and value, in which every byte that is no printable one of ASCII, and the backslash, stands as \0 and three digits.
helper_take() {
    helper_input=${1%% *}
    helper_value=${1#* }
    case $helper_input in '' | *[!a-z_.]*) helper_not_understood "a name that is none" ;; esac
    helper_kind "$helper_input" || helper_not_understood "$helper_command has no input $helper_input"
    case $helper_value in
    *\\*)
        helper_value=$(printf '%b.' "$helper_value")
        helper_value=${helper_value%.}
        ;;
    esac
    # bash reckons with what it is given, and runs what stands in it.
    case $helper_kind in
    number) case $helper_value in *[!0-9]*) helper_not_understood "$helper_input is no number" ;; esac ;;
    name) case $helper_value in *[!A-Za-z0-9-]*) helper_not_understood "$helper_input is no name" ;; esac ;;
    text | words) ;;
    # A program of a unit, or all settings at once.
    *) helper_not_understood "$helper_input is not for others to say" ;;
    esac
    helper_so_far=
    eval "helper_so_far=\$${helper_input%%.*}"
    case $helper_input in
    *.*) helper_value=$helper_so_far$(fact "${helper_input#*.}" "$helper_value")$newline ;;
    *) [ "$helper_kind" != words ] || helper_value="$helper_so_far $(quote "$helper_value")" ;;
    esac
    eval "${helper_input%%.*}=\$helper_value"
}

# helper_prepare: what is declared has no value but that which is sent, or that of a program.
helper_prepare() {
    helper_declared=$newline$(cat "$helper_at/inputs")$newline
    while read -r helper_input helper_kind; do
        case $helper_input in
        *.*) ;;
        *) unset "$helper_input" ;;
        esac
        # A unit whose program is empty would do nothing, and well.
        [ "$helper_kind" != program ] || eval "$helper_input=\$(cat \"\$helper_at/\$helper_input\")" || helper_cannot_read "$helper_input"
    done <"$helper_at/inputs"
}

# What Ansible waits for.
echo BECOME-SUCCESS-deploy-flake-host
read -r helper_protocol helper_command helper_hash helper_size
[ "$helper_protocol" = deploy-flake-1 ] || helper_not_understood "another way to say it than deploy-flake-1"
case $helper_size in '' | 0* | *[!0-9]* | ??????????*) helper_not_understood "no size" ;; esac
helper_sent=$(dd bs="$helper_size" count=1 iflag=fullblock 2>/dev/null)
helper_find || helper_refuse other-version "has a deploy-flake-host of another version of the collection, so nothing was done. A system that has one of \
this version comes there with the version of the collection that the host knows, or from a login user who becomes root in another way (ansible_become_method)"
helper_prepare
helper_whole=no
helper_ifs=$IFS
IFS=$newline
for helper_line in $helper_sent; do
    if [ "$helper_line" = . ]; then helper_whole=yes; else helper_take "$helper_line"; fi
done
IFS=$helper_ifs
[ "$helper_whole" = yes ] || helper_not_understood "not all of it"
set +f
helper_script=$(cat "$helper_at/script") || helper_cannot_read script
eval "$helper_script"
