# Partitions the disks with the flake's own script, and installs the system. program install|ended DIRECTORY.
# job: what is installed where, in one word. script: what erases, makes and mounts. installer: the path of nixos-install. keys: how many host keys
# there are. limit: seconds for either.
# inputs: job script installer toplevel root keys limit
# facts: erasable
# needs: base block_devices installed process
# shellcheck shell=sh disable=SC1091

main() {
    dir=$2
    . "$dir/values"
    cd /
    exec >>"$dir/log" 2>&1 </dev/null
    # Of what is made on the new disk others may read what the system lets them; nixos-install refuses a root that only root can enter.
    umask 022
    case $1 in
    install) install ;;
    ended) ended ;;
    esac
}

# end_with RESULT: by rename, so that it is whole.
end_with() {
    [ -e "$dir/result" ] || { printf '%s\n' "$1" >"$dir/result.new" && mv -f "$dir/result.new" "$dir/result"; }
    exit 0
}

# enter STEP
enter() {
    printf '%s\n' "$1" >"$dir/step.new" && mv -f "$dir/step.new" "$dir/step"
    echo "deploy-flake: $1"
}

install() {
    # It is started a second time where its first start was not heard of.
    mkdir "$dir/begun" 2>/dev/null || exit 0
    trap 'end_child; end_with stopped' TERM
    enter erase
    protect_others || end_with not-protected
    for each in $erasable; do
        read_line "/sys/block/$each/diskseq"
        printf '%s\n' "$each $line" >>"$erased_list" || end_with no-space
    done
    limited "$limit" "$script" || end_with "disko-failed $status"
    are_on_disks "$root" "$erasable" || end_with not-mounted
    # A script that makes no new file system keeps what an earlier installation has said of itself.
    rm -f "$root$mark_below_root"
    enter keys
    put_host_keys || end_with keys-failed
    enter install
    # What has secrets for its initrd wants it.
    mkdir -p "$root/tmp" && chmod 1777 "$root/tmp"
    limited "$limit" "$installer" --system "$toplevel" --root "$root" --no-root-passwd --no-channel-copy || end_with "install-failed $status"
    is_installed || end_with not-installed
    has_host_keys || end_with keys-failed
    limited "$limit" sync || end_with "install-failed $status"
    put_mark || end_with no-space
    end_with ok
}

# protect_others: until the end no program can write to disks that the flake does not erase, nor to what is made of them, neither the script nor a boot loader's
# installer; but for what is mounted or swap, with what lies below it: a disk that is read-only makes its partitions so. What cannot be asked
# or made so ends it. Drives with a tray are no disks, and may be empty.
protect_others() {
    local each uses
    for each in /sys/class/block/*; do
        each=${each##*/}
        case $each in sr* | fd*) continue ;; esac
        read_line "/sys/class/block/$each/size"
        [ "$line" != 0 ] && ! is_hidden "$each" && ! is_to_be_erased "$each" || continue
        uses=$(all_uses_of "$each") || return
        case $newline$uses in *"${newline}mount "* | *"${newline}swap "*) continue ;; esac
        case $(blockdev --getro "/dev/$each") in
        0) echo "/dev/$each" >>"$dir/protected" && blockdev --setro "/dev/$each" || return ;;
        1) ;;
        *) return 1 ;;
        esac
    done
}

# is_to_be_erased NAME: whether it is such a disk, or a partition of one. Nothing else was made of one: nobody had it.
is_to_be_erased() {
    local at
    at=$(readlink -f "/sys/class/block/$1")
    [ ! -e "$at/partition" ] || at=${at%/*}
    case "$erasable " in *" ${at##*/} "*) return 0 ;; *) return 1 ;; esac
}

allow_others() {
    local each
    [ -e "$dir/protected" ] || return 0
    while read -r each; do blockdev --setrw "$each"; done <"$dir/protected"
    rm -f "$dir/protected"
}

# put_host_keys: before the system is installed, whose boot loader or first activation may need them. All that were given, or one that is made.
put_host_keys() {
    local number
    number=0
    while [ "$number" -lt "$keys" ]; do
        number=$((number + 1))
        read_line "$dir/keys/$number.path"
        [ -n "$line" ] && put_host_key "$dir/keys/$number" "$root$line" || return
    done
    [ "$keys" = 0 ] && [ ! -e "$root/etc/ssh/ssh_host_ed25519_key" ] || return 0
    make_parent "$root/etc/ssh/ssh_host_ed25519_key" && ssh-keygen -q -t ed25519 -N '' -C '' -f "$root/etc/ssh/ssh_host_ed25519_key"
}

# put_host_key FILE TARGET: with its public half beside it.
put_host_key() {
    make_parent "$2" || return
    (umask 077 && cp "$1" "$2.new") && ssh-keygen -y -P '' -f "$2.new" >"$2.pub" && chmod 0644 "$2.pub" && chmod 0600 "$2.new" && mv -f "$2.new" "$2"
}

# drop_new_keys: what is not in its place yet.
drop_new_keys() {
    local each
    for each in "$dir/keys/"*.path; do
        read_line "$each"
        [ -z "$line" ] || rm -f "$root$line.new"
    done
}

make_parent() { mkdir -p "${1%/*}"; }

# has_host_keys: whether they are there still, as they were given.
has_host_keys() {
    local number
    number=0
    while [ "$number" -lt "$keys" ]; do
        number=$((number + 1))
        read_line "$dir/keys/$number.path"
        [ -n "$line" ] && cmp -s "$dir/keys/$number" "$root$line" || return
    done
}

# is_installed: whether the boot default of the new disk is what was meant, and is there.
is_installed() {
    local link
    link=$(readlink "$root$profile") || return
    case $link in /*) ;; *) link=$(readlink "$root${profile%/*}/$link") || return ;; esac
    [ "$link" = "$toplevel" ] && [ -e "$root$toplevel/init" ]
}

# put_mark: on the new disk itself, with the public halves of the host keys that the new system will have, as far as they are there; and before that
# below /run, where it is found when the disk is no longer mounted. Without either it is not done: it would be erased again.
put_mark() {
    local to
    to=$root$mark_below_root
    # Whatever becomes of the marks: from now on it takes the word to erase them.
    for each in $erasable; do
        read_line "/sys/block/$each/diskseq"
        printf '%s\n' "$each $line" >>"$done_list" || return
    done
    echo "$job $toplevel" >"$mark_copy.new" || return
    for each in "$root"/etc/ssh/ssh_host_*_key.pub; do
        [ ! -e "$each" ] || cat "$each" >>"$mark_copy.new" || return
    done
    mkdir -p "${root}${var_dir%/*}" && { [ -d "$root$var_dir" ] || mkdir -m 0700 "$root$var_dir"; } && cp "$mark_copy.new" "$to.new" || return
    mv -f "$mark_copy.new" "$mark_copy" && mv -f "$to.new" "$to" || return
    # All else was synced before.
    limited "$limit" sync || :
}

# ended: whatever the program's end was.
ended() {
    allow_others
    drop_new_keys
    rm -rf "$dir/keys"
    [ -e "$dir/result" ] || end_with killed
}

main "$@"
exit
