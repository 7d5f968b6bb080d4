# Partitions the disks with the flake's own script, and installs the system. program install|ended DIRECTORY.
# script: what erases, makes and mounts. installer: the path of nixos-install. generate: whether a host key is made where none was given.
# limit: seconds for either.
# inputs: script installer toplevel root generate limit
# facts: erasable
# needs: base disks mounts process
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
    leave_root || end_with busy
    protect_others || end_with not-protected
    printf '%s\n' "$erasable" | tr ' ' '\n' >>"$erased_list" || end_with no-space
    limited "$limit" "$script" || end_with "disko-failed $status"
    allow_others
    [ "$(mount_of "$root" place)" = "$root" ] || end_with not-mounted
    enter keys
    put_host_keys || end_with keys-failed
    enter install
    # What has secrets for its initrd wants it.
    mkdir -p "$root/tmp" && chmod 1777 "$root/tmp"
    limited "$limit" "$installer" --system "$toplevel" --root "$root" --no-root-passwd --no-channel-copy || end_with "install-failed $status"
    is_installed || end_with not-installed
    read_host_keys
    limited "$limit" sync || end_with "install-failed $status"
    end_with ok
}

# leave_root: what an earlier attempt has left mounted there. A root that is somebody else's was refused, where it is of these disks.
leave_root() {
    [ -e "$erased_list" ] || return 0
    while [ "$(mount_of "$root" place)" = "$root" ]; do limited 60 umount -R "$root" || return; done
}

# protect_others: as long as the script runs, the kernel lets nobody write to disks that were not named; those that somebody uses already are
# left as they are.
protect_others() {
    local each part
    for each in $(all_disks); do
        case "$erasable " in *" $each "*) continue ;; esac
        [ -z "$(uses_of "$each")" ] || continue
        for part in $(parts_of "$each"); do
            [ -b "/dev/$part" ] && [ "$(blockdev --getro "/dev/$part")" = 0 ] || continue
            echo "/dev/$part" >>"$dir/protected" && blockdev --setro "/dev/$part" || return
        done
    done
}

allow_others() {
    local each
    [ -e "$dir/protected" ] || return 0
    while read -r each; do blockdev --setrw "$each"; done <"$dir/protected"
    rm -f "$dir/protected"
}

# put_host_keys: before the system is installed, whose boot loader or first activation may need them.
put_host_keys() {
    local each
    for each in "$dir"/keys/*.path; do
        [ -e "$each" ] || continue
        read_line "$each"
        put_host_key "${each%.path}" "$root$line" || return
    done
    [ "$generate" = yes ] && [ ! -e "$root/etc/ssh/ssh_host_ed25519_key" ] || return 0
    make_parent "$root/etc/ssh/ssh_host_ed25519_key" && ssh-keygen -q -t ed25519 -N '' -C '' -f "$root/etc/ssh/ssh_host_ed25519_key"
}

# put_host_key FILE TARGET: with its public half beside it.
put_host_key() {
    make_parent "$2" || return
    (umask 077 && cp "$1" "$2.new") && ssh-keygen -y -P '' -f "$2.new" >"$2.pub" && chmod 0644 "$2.pub" && chmod 0600 "$2.new" && mv -f "$2.new" "$2"
}

make_parent() { mkdir -p "${1%/*}"; }

# is_installed: whether the boot default of the new disk is what was meant, and is there.
is_installed() {
    local link
    link=$(readlink "$root$profile") || return
    case $link in /*) ;; *) link=$(readlink "$root${profile%/*}/$link") || return ;; esac
    [ "$link" = "$toplevel" ] && [ -e "$root$toplevel/init" ]
}

# read_host_keys: the public halves of those that the new system will have, as far as they are there.
read_host_keys() {
    local each
    printf '' >"$dir/public"
    for each in "$root"/etc/ssh/ssh_host_*_key.pub; do [ ! -e "$each" ] || cat "$each" >>"$dir/public"; done
}

# ended: whatever the program's end was.
ended() {
    allow_others
    rm -rf "$dir/keys"
    [ -e "$dir/result" ] || end_with killed
}

main "$@"
exit
