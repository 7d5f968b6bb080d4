# What comes before a boot loader's files are written, for what a power cut may make of them meanwhile, or has made of them before.
# needs: base boot_loader held_files log name_at_boot on_disk process profile
# shellcheck shell=sh

# before_loader LIMIT SYSTEM: whoever writes them does it for this one.
before_loader() {
    local fat place places
    places=$(boot_file_systems)
    fat=
    for place in $places; do [ "$(stat -f -c %T "$place" 2>/dev/null)" != msdos ] || fat="$fat $place"; done
    give_second_names
    make_room
    hold_loader_files
    drop_cut_off "$2"
    bring_copies "$1" "$2"
}

# Where a new file takes the name of an old one, ext4 empties the old one and changes the name, at their places in no order: between the two
# GRUB or U-Boot, which know no journal, would find a file that is empty. One that has a second name is not emptied. FAT has
# no second names: there they are held open.

# give_second_names: until sync_boot_side has been through. Each has a name of its own: what an earlier call has kept may be what the disk still
# names, and what a power cut has left is another one.
give_second_names() {
    local place file
    for place in $places; do
        for file in $(loader_files "$place"); do
            ln "$file" "$file.$(stat -c %i "$file").deploy-flake" 2>/dev/null
        done
    done
}

# hold_loader_files: until then, too.
hold_loader_files() {
    local place file
    set --
    for place in $fat; do
        for file in "$place"/EFI/[Bb][Oo][Oo][Tt]/* "$place"/EFI/systemd/* "$place"/loader/*.conf "$place"/loader/entries/*.conf \
            $(loader_files "$place"); do
            [ ! -f "$file" ] || set -- "$@" "$file"
            # Shells have an end to their calls within calls, and to their descriptors.
            [ $# -lt 50 ] || { hold_files "$@" && set --; }
        done
    done
    [ $# = 0 ] || hold_files "$@"
}

# drop_cut_off SYSTEM: copies of its kernel and its initrd for the boot loader, where they do not begin with what they are copies of. They are
# made once, and left where there is one: what a power cut has made of it nobody else would ever mend. Secrets may come behind an initrd.
drop_cut_off() {
    local copy file name part place system
    for system in "$1" "$1"/specialisation/*; do
        for part in kernel initrd; do
            file=$(readlink -f "$system/$part") && [ -f "$file" ] || continue
            name_at_boot "$file"
            for place in $places; do
                for copy in "$place/EFI/nixos/$name.efi" "$place/kernels/$name" "$place/nixos/$name"; do
                    [ -f "$copy" ] || continue
                    head -c "$(stat -c %s "$file")" "$copy" | cmp -s - "$file"
                    # Not where nobody could look.
                    [ $? != 1 ] || rm -f "$copy"
                done
            done
        done
    done
}

# FAT has no order either between a new copy's name and the entry that names the copy: a disk may have the second one first. So where the
# boot default's copies are missing, they are made and on the disk before an installer begins, which leaves what is there. One that is made
# for another system would take them away again, as NixOS's does with those of specialisations.

# bring_copies LIMIT SYSTEM: with systemd-boot, where NixOS's names are used. Within the limit, a minute at most; the installer works without it.
bring_copies() {
    local copy file name part place until uptime
    for place in $fat; do rm -f "$place"/EFI/nixos/*.deploy-flake; done
    [ -n "$fat" ] && [ "$(boot_default)" = "$2" ] && ask_loader && [ "$loader" = systemd-boot ] || return 0
    clock
    until=$((uptime + ($1 < 60 ? $1 : 60)))
    for place in $fat; do
        has_known_copies "$place" || continue
        for part in kernel initrd; do
            file=$(readlink -f "$2/$part") && [ -f "$file" ] || continue
            name_at_boot "$file"
            copy=$place/EFI/nixos/$name.efi
            [ -f "$copy" ] || {
                limited "$(time_for_copies)" cp "$file" "$copy.deploy-flake" && limited "$(time_for_copies)" sync "$copy.deploy-flake" &&
                    mv "$copy.deploy-flake" "$copy"
            }
        done 2>/dev/null
        rm -f "$place"/EFI/nixos/*.deploy-flake
        # Also those that were there: whoever made them may have been killed before this.
        to_disk "$(time_for_copies)" "$place" ||
            log_line "copies of kernel and initrd in $place could not be brought to the disk before an entry names them"
    done
}

# time_for_copies: a second, where there is none.
time_for_copies() {
    clock
    echo $((until > uptime ? until - uptime : 1))
}

# has_known_copies FILE_SYSTEM: of what runs, or of any generation.
has_known_copies() {
    local file link
    for link in /run/booted-system/kernel "$profile"-*-link/kernel; do
        file=$(readlink -f "$link") && name_at_boot "$file" && [ -f "$1/EFI/nixos/$name.efi" ] && return
    done
    return 1
}

# A directory of FAT that is full takes one more piece of the disk. Until two sectors of the table of pieces are written, in whichever order, it
# ends nowhere, and to a firmware all of it is empty: there is no entry, or no kernel of any. That may last a quarter of a second, in each installer
# that needs room. Where we make some it is a millisecond, and once in many deployments.

# make_room: in the directories in which boot loaders' files are made.
make_room() {
    local directory place
    for place in $fat; do
        for directory in EFI/nixos EFI/Linux loader loader/entries grub kernels extlinux nixos; do
            directory=$place/$directory
            [ ! -d "$directory" ] || has_room "$directory" || widen "$place" "$directory"
        done
    done
}

# has_room DIRECTORY: for some names that are made and then replaced. One takes a slot for each thirteen letters, and one more; `.` and `..` are
# two.
has_room() {
    local name used
    used=2
    for name in "$1"/*; do
        name=${name#"$1/"}
        used=$((used + (${#name} + 12) / 13 + 1))
    done
    [ $(($(stat -c %s "$1") / 32 - used)) -ge 64 ]
}

# widen FILE_SYSTEM DIRECTORY: by names of 20 slots each, which go again. Nothing else waits to be written meanwhile.
widen() {
    local name number
    to_disk 60 "$1"
    name=$2/deploy-flake-$(printf "%0226d" 0)
    for number in 1 2 3 4 5 6; do printf '' >"$name$number"; done 2>/dev/null
    rm -f "$name"*
    limited 60 sync "$2"
    to_disk 60 "$1"
}
