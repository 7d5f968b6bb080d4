# What the boot loader would start, and whether it can start an entry once.
# needs: boot_choice complain tools
# shellcheck shell=sh

grub_cfg=/boot/grub/grub.cfg

# entries_of TOPLEVEL: the ids of systemd-boot's entries that boot this very system, in the directory $entries.
# A name may count tries of booting ("+3-1"), which is no part of the id.
entries_of() {
    local entry_file
    for entry_file in "$entries"/*.conf; do
        [ -e "$entry_file" ] || continue
        awk -v wanted="init=$1/init" '$1 == "options" { for (i = 2; i <= NF; i++) if ($i == wanted) found = 1 } END { exit !found }' \
            "$entry_file" || continue
        printf '%s\n' "${entry_file##*/}" | sed 's/+[0-9][-0-9]*\.conf$/.conf/'
    done
}

# grub_entries_of TOPLEVEL: what grub-reboot calls the entries of grub.cfg that boot this very system. "> " stands before those
# of a submenu; a > of a title is doubled.
grub_entries_of() {
    awk -v wanted="init=$1/init" '
        function title(line,   quote) {
            sub(/^[ \t]*(menuentry|submenu)[ \t]+/, "", line)
            quote = substr(line, 1, 1)
            if (quote != "\"" && quote != "\047") { sub(/[ \t{].*/, "", line); return line }
            line = substr(line, 2)
            return substr(line, 1, index(line, quote) - 1)
        }
        function path(name) { gsub(/>/, ">>", name); return name }
        /^[ \t]*submenu[ \t]/ { menu = title($0); inside = 1; next }
        /^[ \t]*menuentry[ \t]/ { entry = title($0); open = 1; told = 0; next }
        /^[ \t]*}[ \t]*$/ { if (open) open = 0; else inside = 0; next }
        open && !told {
            for (i = 1; i <= NF; i++) if ($i == wanted) {
                print (inside ? "> " path(menu) ">" path(entry) : path(entry))
                told = 1
                break
            }
        }' "$grub_cfg"
}

# find_loader TOPLEVEL: which loader boots this system by default, in $loader; complains where none does. It is taken for the one that
# is in use only if its files name the boot default.
find_loader() {
    local place
    for place in /boot "$(timeout -k 5 20 bootctl -x 2>/dev/null)" "$(timeout -k 5 20 bootctl -p 2>/dev/null)" /efi /boot/efi; do
        entries=$place/loader/entries
        [ -n "$place" ] && [ -d "$entries" ] && [ -n "$(entries_of "$1")" ] || continue
        loader=systemd-boot
        for conf in "$place/loader/loader.conf" "$(timeout -k 5 20 bootctl -p 2>/dev/null)/loader/loader.conf" /boot/loader/loader.conf; do
            [ ! -e "$conf" ] || break
        done
        return 0
    done
    if [ -e "$grub_cfg" ] && [ -n "$(grub_entries_of "$1")" ]; then
        loader=grub
        return 0
    fi
    complain no-one-shot "neither systemd-boot's entries nor $grub_cfg name the boot default $1, and no other boot loader can be told to boot an entry once"
}

# is_default TOPLEVEL: whether the loader's own files make it what is booted next time.
is_default() {
    local id_of wanted_entry
    if [ "$loader" = grub ]; then
        # Only the default has an entry outside of the submenus.
        grub_entries_of "$1" | grep -q -v '^> '
        return
    fi
    wanted_entry=$(sed -n 's/^default[ 	][ 	]*//p' "$conf" 2>/dev/null | tail -n 1)
    for id_of in $(entries_of "$1"); do
        # shellcheck disable=SC2254 # a pattern is meant
        case $id_of in $wanted_entry | ${wanted_entry%.conf}.conf) return 0 ;; esac
    done
    return 1
}

# entry_of TOPLEVEL GENERATION: the entry of this generation, or else another one that boots the same.
entry_of() {
    if [ "$loader" = grub ]; then
        # Newest first.
        grub_entries_of "$1" | sed -n 's/^> //p' | head -n 1
        return
    fi
    entries_of "$1" | grep -F -x "nixos-generation-$2.conf" || entries_of "$1" | head -n 1
}

# can_boot_once: whether the loader could, with nothing changed; complains where not.
can_boot_once() {
    local chosen needed said
    # An earlier trial's own choice is taken back before another one is made.
    chosen=$(chosen_once)
    [ -z "$chosen" ] || [ "$chosen" = "${trial_entry-}" ] || { complain no-one-shot "somebody has chosen the entry '$chosen' for the next boot already"; return; }
    if [ "$loader" = grub ]; then
        grep -q 'next_entry' "$grub_cfg" || { complain no-one-shot "$grub_cfg does not heed an entry for the next boot"; return; }
        for needed in grub-reboot grub-editenv; do
            tool "$needed" >/dev/null || { complain no-one-shot "it boots with GRUB, and has no $needed in $PATH"; return; }
        done
        grub_can_forget
        return
    fi
    tool bootctl >/dev/null || { complain no-one-shot "it boots with systemd-boot, and has no bootctl in $PATH"; return; }
    # To forget an entry that is not there changes nothing, and fails where there are no EFI variables to write.
    said=$(timeout -k 5 20 bootctl set-oneshot "" 2>&1) ||
        complain no-one-shot "bootctl cannot choose an entry for the next boot: $(printf '%s' "$said" | tail -n 1)"
}

# grub_can_forget: GRUB writes into the file's blocks as they are on the disk. Where it can't, it would boot the entry for ever.
grub_can_forget() {
    local device kind
    kind=$(stat -f -c %T /boot/grub) || kind=unknown
    case $kind in
    ext2/ext3 | ext2 | ext3 | ext4 | xfs | msdos | vfat | fat | tmpfs) ;;
    *)
        complain no-one-shot "GRUB cannot write to /boot/grub on $kind, so it would boot the entry again and again"
        return
        ;;
    esac
    device=/sys/dev/block/$(awk -v want=/boot/grub '
        function covers(point) { return point == "/" || want == point || index(want "/", point "/") == 1 }
        covers($5) && length($5) >= best { best = length($5); device = $3 }
        END { print device }' /proc/self/mountinfo)
    if [ -e "$device/dm" ] || [ -e "$device/md" ] || [ -e "$device/../md" ]; then
        complain no-one-shot "GRUB cannot write to /boot/grub on a device mapper or RAID device, so it would boot the entry again and again"
    fi
}

# boot_once ENTRY: and makes sure that it took; complains where it did not.
boot_once() {
    local chosen said
    if [ "$loader" = grub ]; then
        said=$(timeout -k 5 20 grub-reboot "$1" 2>&1)
    else
        said=$(timeout -k 5 20 bootctl set-oneshot "$1" 2>&1)
    fi || { complain no-one-shot "the boot loader could not be told to boot '$1' once: $said"; return; }
    choice_to_disk
    chosen=$(chosen_once)
    [ "$chosen" = "$1" ] || complain no-one-shot "the boot loader was told to boot '$1' once, and would boot '$chosen'"
}
