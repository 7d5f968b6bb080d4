# The entry that the boot loader starts once and then forgets: systemd-boot's (an EFI variable that it removes before it starts the
# entry) and GRUB's (next_entry in grubenv, which NixOS's grub.cfg empties before it does). Before it: $loader.
# needs: on_disk
# shellcheck shell=sh

grubenv=/boot/grub/grubenv

# chosen_once: the entry that is chosen for the next boot; nothing where none is.
chosen_once() {
    local variable
    if [ "$loader" = grub ]; then
        [ ! -e "$grubenv" ] || timeout -k 5 20 grub-editenv "$grubenv" list 2>/dev/null | sed -n 's/^next_entry=//p'
        return
    fi
    variable=/sys/firmware/efi/efivars/LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
    if [ -e "$variable" ]; then
        # Four bytes of attributes, then UTF-16.
        tail -c +5 "$variable" | tr -d '\000'
    elif [ ! -d "${variable%/*}" ] || [ -z "$(ls "${variable%/*}" 2>/dev/null)" ]; then
        timeout -k 5 20 bootctl status 2>/dev/null | sed -n 's/^ *OneShot Entry: *//p'
    fi
}

# not_once ENTRY: takes that back, if it still is what was chosen.
not_once() {
    [ -n "$1" ] && [ "$(chosen_once)" = "$1" ] || return 0
    if [ "$loader" = grub ]; then
        timeout -k 5 20 grub-editenv "$grubenv" unset next_entry
    else
        timeout -k 5 20 bootctl set-oneshot ""
    fi
    choice_to_disk
}

# choice_to_disk: GRUB's is a file, which it finds and changes by the blocks that are on the disk.
choice_to_disk() {
    local place
    for place in "${grubenv%/*}" /boot; do
        [ ! -d "$place" ] || { to_disk 60 "$place"; return; }
    done
}
