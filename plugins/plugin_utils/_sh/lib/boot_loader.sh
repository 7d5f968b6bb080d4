# Which system the boot loader starts by itself, read from its own files as the loader reads them.
# needs: base
# sets: loader loader_starts loader_why loader_lacks
# shellcheck shell=sh

# Where a boot loader's files may be, and what tells of mounts and of choices that are kept in the firmware.
boot_places="/boot /efi /boot/efi"
mount_table=/proc/self/mountinfo
mounts_wanted=/etc/fstab
mount_units="/etc/systemd/system /run/systemd/system /run/systemd/generator /run/systemd/generator.late"
efi_variables=/sys/firmware/efi/efivars

# ask_loader: which loader it is in $loader: systemd-boot, grub, extlinux or unknown. In $loader_starts the toplevel that it starts where
# nobody chooses; empty where that cannot be told, and why is in $loader_why then. In $loader_lacks a boot partition that should be mounted
# and is not.
ask_loader() {
    local at boot_mounts broken chosen entry_count firmware_mounts found starts tries wanted why_not
    loader=unknown
    loader_starts=
    loader_why=
    loader_lacks=
    loader_broken=no
    look_at_mounts || return 0
    found=no
    for at in $boot_places; do
        each_loader_in "$at" || return 0
    done
    [ "$found" = no ] || return 0
    # Some mount it elsewhere.
    for at in $firmware_mounts; do
        each_loader_in "$at" || return 0
    done
    [ "$found" != no ] || loader_why="there are no files of a boot loader that is known in $boot_places"
}

# loader_names SYSTEM: 0: the loader starts this very system; 1: it certainly does not, but $loader_starts, or an entry that is broken
# where that is empty; 2: it cannot be told. $loader_why says why it is 1 or 2. A specialisation is a system of its own.
loader_names() {
    ask_loader
    [ "$loader_broken" = no ] || return 1
    [ -n "$loader_starts" ] || return 2
    [ "$loader_starts" != "$1" ] || return 0
    # A system that is wrapped may have the init of the one in it.
    [ "$(readlink "$1/init")" != "$loader_starts/init" ] || return 0
    loader_why="the boot loader starts $loader_starts"
    return 1
}

# answer_loader: what was found.
answer_loader() {
    answer loader "$loader"
    answer loader_default "$loader_starts"
    answer loader_why "$loader_why"
}

# look_at_mounts: false where a directory of a boot loader cannot be relied on. In $boot_mounts, between spaces, those that are mounts, and in
# $firmware_mounts the other mounts that a firmware could read.
look_at_mounts() {
    local at mounts unit_name units
    for at in $boot_places; do
        # Mounts what is mounted when it is used.
        if [ -d "$at" ] && ! { [ -d "$at/." ] && [ -r "$at" ] && [ -x "$at" ]; }; then
            loader_why="$at cannot be read"
            return 1
        fi
    done
    mounts=$mounts_wanted
    [ -r "$mounts" ] || mounts=/dev/null
    boot_mounts=$(awk -v places="$boot_places" '
        BEGIN { n = split(places, place, " "); for (i = 1; i <= n; i++) known[place[i]]; mounted = " " }
        FILENAME == ARGV[1] {
            for (i = 7; i < NF && $i != "-"; i++);
            kind = $(i + 1)
            if ($5 in known && kind != "autofs") { mounted = mounted $5 " "; is[$5] }
            else if (kind == "vfat") others = others " " $5
            next
        }
        $2 in known && $1 !~ /^#/ { wanted[$2] }
        END {
            for (p in wanted) if (!(p in is)) lacking = p
            print mounted "|" others "|" lacking
        }' "$mount_table" "$mounts" 2>/dev/null)
    firmware_mounts=${boot_mounts#*|}
    loader_lacks=${firmware_mounts#*|}
    firmware_mounts=${firmware_mounts%|*}
    boot_mounts=${boot_mounts%%|*}
    for at in $boot_places; do
        unit_name=${at#/}
        while :; do
            case $unit_name in */*) unit_name=${unit_name%%/*}-${unit_name#*/} ;; *) break ;; esac
        done
        for units in $mount_units; do
            case $boot_mounts in
            *" $at "*) ;;
            *) [ ! -s "$units/$unit_name.mount" ] || loader_lacks=$at ;;
            esac
        done
    done
    [ -z "$loader_lacks" ] || {
        loader_why="$loader_lacks should be mounted, and is not"
        return 1
    }
}

# each_loader_in DIRECTORY: asks those whose files are there; false where two do not agree.
each_loader_in() {
    local file kind
    for kind in systemd-boot grub extlinux; do
        starts=
        why_not=
        broken=no
        case $kind in
        systemd-boot) file=$1/loader/loader.conf ;;
        grub) file=$1/grub/grub.cfg ;;
        extlinux) file=$1/extlinux/extlinux.conf ;;
        esac
        [ -e "$file" ] || continue
        if [ ! -r "$file" ]; then
            why_not="$file cannot be read"
        else
            case $kind in
            systemd-boot) ask_systemd_boot "$1" "$file" ;;
            grub) ask_grub "$1" "$file" ;;
            extlinux) ask_extlinux "$1" "$file" ;;
            esac
        fi
        if [ "$found" = no ] || { [ "$loader_starts $loader_broken" != "$starts $broken" ] && is_rather "$kind" "$file" "$found"; }; then
            found=$file
            loader=$kind
            loader_starts=$starts
            loader_why=$why_not
            loader_broken=$broken
        elif [ "$loader_starts $loader_broken" != "$starts $broken" ] && ! is_rather "$loader" "$found" "$file"; then
            loader_why="there are files of two boot loaders, $found and $file, which do not start the same"
            [ "$loader" = "$kind" ] || loader=unknown
            loader_starts=
            loader_broken=no
            return 1
        fi
    done
}

# is_rather KIND FILE OTHER-FILE: whether the host was started by a loader of this kind, and has got no other one since: then the other
# file is left over. Only EFI says it.
is_rather() {
    local started_by
    started_by=$(cat "$efi_variables"/LoaderInfo-* 2>/dev/null | tr -d '\000')
    case $1,$started_by in
    systemd-boot,*systemd-boot* | grub,*GRUB*) ;;
    *) return 1 ;;
    esac
    [ "${2##*/}" != "${3##*/}" ] && [ -z "$(find "$3" -newer "$2")" ]
}

# name_init COMMAND-LINE: the toplevel of its last init=, in $starts.
name_init() {
    local init
    init=
    case " $1" in *" init="*) init=" $1" && init=${init##*" init="} && init=${init%% *} ;; esac
    starts=${init#/nix/store/}
    starts=${starts%/init}
    case $starts in
    '' | */*) starts= ;;
    *) [ "/nix/store/$starts/init" = "$init" ] && starts=/nix/store/$starts || starts= ;;
    esac
    [ -n "$starts" ] || why_not="the entry that is started by default is not one of NixOS"
}

# needs_file FILE: it is part of what is started. A power cut may have left it empty.
needs_file() {
    [ ! -s "$1" ] || return 0
    broken=yes
    why_not="the entry that the boot loader starts needs $1, which is not there"
    [ ! -e "$1" ] || why_not="${why_not%not there}empty"
}

# --- systemd-boot ---

ask_systemd_boot() {
    local at by_default by_preference entry_places key value
    for key in "$efi_variables"/LoaderEntryDefault-* "$efi_variables"/LoaderEntryPreferred-*; do
        [ ! -e "$key" ] || { why_not="the default entry is kept in an EFI variable, as 'bootctl set-default' does" && return; }
    done
    # The firmware knows nothing else.
    is_boot_mount "$1" || { why_not="$1 has files of systemd-boot, and is no file system of its own" && return; }
    # Entries may be on a partition beside it, which has no loader then.
    entry_places=$1
    for at in $boot_mounts; do
        [ -e "$at/loader/loader.conf" ] || entry_places="$entry_places $at"
    done
    by_default=
    by_preference=
    while read -r key value || [ -n "$key" ]; do
        case $key in
        default) by_default=$value ;;
        preferred) by_preference=$value ;;
        esac
    done <"$2"
    wanted=${by_preference:-$by_default}
    find_entries
    # Its order of entries is not known here.
    case $entry_count,$wanted in
    1,*) ;;
    0,*[*?[]* | 0,@*) why_not="the default in $2, '$wanted', is none of its entries" && return ;;
    0,*.conf) needs_file "$1/loader/entries/$wanted"; return ;;
    *) why_not="the default in $2, '$wanted', is not one of its entries" && return ;;
    esac
    # What is preferred passes for it as long as it has tries left. Only releases that prefer one leave the tries away when they compare.
    case $tries,$by_preference,$chosen in
    *.efi) why_not="$chosen is a unified kernel image, which is not looked into" ;;
    +0,* | +0-*) why_not="the tries of booting $chosen are used up" ;;
    +*,,*) why_not="whether $chosen is the default, '$wanted', is not the same for each release of systemd-boot" ;;
    *) read_entry "$chosen" ;;
    esac
}

is_boot_mount() { case "$boot_mounts$firmware_mounts " in *" $1 "*) ;; *) return 1 ;; esac; }

# find_entries: how many $wanted may stand for, a name or a pattern or nothing, in $entry_count; the last of them in $chosen, and in $tries what
# its name has at its end where its tries of booting are counted.
find_entries() {
    local at file plain
    entry_count=0
    for at in $entry_places; do
        for file in "$at"/loader/entries/*.conf "$at"/EFI/Linux/*.efi; do
            [ -e "$file" ] || continue
            plain=${file##*/}
            case $plain in *+[0-9]*.conf) plain=${plain%+*}.conf ;; esac
            # shellcheck disable=SC2254 # it may be a pattern
            case ${file##*/},$plain in
            ${wanted:-*},* | *,${wanted:-*}) ;;
            *) continue ;;
            esac
            entry_count=$((entry_count + 1))
            chosen=$file
            tries=${file%.conf}
            tries=${tries#*"${plain%.conf}"}
        done
    done
}

# read_entry FILE: what it starts.
read_entry() {
    local at key options value
    at=${1%/loader/entries/*}
    options=
    while read -r key value || [ -n "$key" ]; do
        case $key in
        linux | initrd) needs_file "$at/${value#/}" ;;
        options) options="$options $value" ;;
        esac
    done <"$1"
    [ "$broken" = yes ] || name_init "$options"
}

# --- GRUB ---

# The default is a number, a title or an id, or a path of them through the submenus, in which a > of a title is doubled. One that is not there
# stands for the first entry. What is chosen for one boot is not it.
ask_grub() {
    local said
    said=$(awk -v environment="$1/grub/grubenv" '
        function give_up(why) { print "? " why; given_up = 1; exit }
        function word(text,   quote) {
            quote = substr(text, 1, 1)
            if (quote != "\"" && quote != "\047") { sub(/[ \t;{].*/, "", text); return text }
            text = substr(text, 2)
            return substr(text, 1, index(text, quote) - 1)
        }
        function saved(   line, value) {
            while ((getline line < environment) > 0) if (sub(/^saved_entry=/, "", line)) value = line
            return value
        }
        { sub(/^[ \t]+/, "") }
        $1 == "menuentry" || $1 == "submenu" {
            at = menu[depth] + 0
            i = count[at]++
            line = $0
            sub(/^[a-z]+[ \t]+/, "", line)
            title[at, i] = word(line)
            if (match(line, /(--id|[$][{]?menuentry_id_option[}]?)[ \t=]+/)) id[at, i] = word(substr(line, RSTART + RLENGTH))
            unsure[at, i] = conditions > 0 || included
            if ($0 !~ /[{][ \t]*$/) next
            menu[++depth] = at
            if ($1 == "submenu") within[at, i] = menu[depth] = ++menus
            else { here = at SUBSEP i; inside = depth }
            next
        }
        /[{][ \t]*$/ { depth++; if (!inside) inside = depth; next }
        /^[}]/ { if (inside == depth) { inside = 0; here = "" }; if (depth) depth--; next }
        inside { if (here) text[here] = text[here] $0 "\n"; next }
        $1 == "if" { conditions++ }
        /(^|[ \t;])fi[ \t;]*$/ { conditions-- }
        $1 ~ /^(source|configfile|[.])$/ { included = 1 }
        sub(/^(set[ \t]+)?default=/, "") {
            value = word($0)
            if (value ~ /^[$][{]?next_entry[}]?$/) next
            if (defaults++ && value "" != rest "") give_up("grub.cfg sets more than one default")
            rest = value
        }
        END {
            if (given_up) exit
            if (rest ~ /^[$][{]?saved_entry[}]?$/) rest = saved()
            if (rest ~ /[$\\]/) give_up("the default of grub.cfg is not understood: " rest)
            at = 0
            do {
                if (!count[at]) give_up("grub.cfg has no entry")
                gsub(/>>/, "\n", rest)
                part = rest
                rest = ""
                if (i = index(part, ">")) { rest = substr(part, i + 1); part = substr(part, 1, i - 1) }
                gsub(/\n/, ">>", rest)
                gsub(/\n/, ">", part)
                sub(/^[ \t]+/, "", part)
                if (part ~ /^[0-9]/ && part !~ /^(0|[1-9][0-9]*)$/) give_up("the default of grub.cfg is not understood: " part)
                found = 0
                for (i = count[at] - 1; i >= 0; i--) if (part != "" && (part == i "" || part == title[at, i] "" || part == id[at, i] "")) found = i
                for (i = 0; i <= found; i++) if (unsure[at, i]) give_up("entries of grub.cfg depend on what it finds while it runs")
                if (!((at, found) in within)) break
                if (rest == "") give_up("the default of grub.cfg is a submenu")
                at = within[at, found]
            } while (1)
            lines = split(text[at, found], line_of, "\n")
            for (i = 1; i <= lines; i++) {
                words = split(line_of[i], each, /[ \t]+/)
                for (k = 2; k <= words; k++) {
                    if (each[k] ~ /^init=/) print "init " each[k]
                    if (each[1] ~ /^(linux|initrd|module|multiboot)/ && match(each[k], /\/kernels\/[^\/]+$/)) print "file " substr(each[k], RSTART)
                }
            }
        }' "$2" 2>/dev/null)
    case $said in
    '? '*) why_not=${said#??} ;;
    *) read_said "$1" "$said" ;;
    esac
}

# --- extlinux, and what reads its file ---

ask_extlinux() {
    local said
    said=$(awk '
        { word = toupper($1) }
        word == "DEFAULT" || word == "ONTIMEOUT" { n++; default_label = $2 }
        word == "INCLUDE" { unsure = 1 }
        word == "LABEL" { label = $2; if (label in seen) unsure = 1; seen[label] }
        word == "MENU" && toupper($2) == "DEFAULT" { if (default_label != label) n++; default_label = label }
        word == "MENU" && toupper($2) == "INCLUDE" { unsure = 1 }
        word == "APPEND" { for (i = 2; i <= NF; i++) if ($i ~ /^init=/) text[label] = text[label] "init " $i "\n" }
        word == "LINUX" || word == "KERNEL" || word == "INITRD" {
            count = split($2, each, ",")
            for (i = 1; i <= count; i++) if (each[i] ~ /^[.][.]\//) text[label] = text[label] "file /extlinux/" each[i] "\n"
        }
        END {
            if (unsure || n != 1 || !(default_label in seen)) print "?"
            else printf "%s", text[default_label]
        }' "$2" 2>/dev/null)
    case $said in
    '?') why_not="extlinux.conf names no default that is one of its entries" && return ;;
    esac
    read_said "$1" "$said"
}

# read_said DIRECTORY LINES: each is `init` and a word of a command line, or `file` and a file below the directory.
read_said() {
    local old_ifs options one
    old_ifs=$IFS
    IFS=$newline
    set -f
    options=
    for one in $2; do
        case $one in
        'init '*) options="$options ${one#init }" ;;
        'file '*) needs_file "$1${one#file }" ;;
        esac
    done
    set +f
    IFS=$old_ifs
    [ "$broken" = yes ] || name_init "$options"
}
