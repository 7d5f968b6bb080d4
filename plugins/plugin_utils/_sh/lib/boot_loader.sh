# Which system the boot loader starts by itself, read from its own files as the loader reads them.
# needs: base
# sets: loader loader_starts loader_why
# shellcheck shell=sh

# Where a boot loader's files may be, and what tells of mounts and of choices that are kept in the firmware.
boot_places="/boot /efi /boot/efi"
mount_table=/proc/self/mountinfo
mounts_wanted=/etc/fstab
mount_units="/etc/systemd/system /run/systemd/system /run/systemd/generator /run/systemd/generator.late"
efi_variables=/sys/firmware/efi/efivars

# ask_loader: which loader it is in $loader: systemd-boot, grub, extlinux or unknown. In $loader_starts the toplevel that it starts where
# nobody chooses; empty where that cannot be told, and why is in $loader_why then.
ask_loader() {
    local at boot_mounts broken chosen entry_count firmware_mounts found lacking starts why_not
    loader=unknown
    loader_starts=
    loader_why=
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

# loader_default: what the loader starts, as far as it can be told.
loader_default() {
    ask_loader
    [ -z "$loader_starts" ] || echo "$loader_starts"
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
    lacking=${firmware_mounts#*|}
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
            *) [ ! -s "$units/$unit_name.mount" ] || lacking=$at ;;
            esac
        done
    done
    [ -z "$lacking" ] || {
        loader_why="$lacking should be mounted, and is not"
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

# needs_file FILE: it is part of what is started.
needs_file() {
    [ -e "$1" ] || {
        broken=yes
        why_not="the entry that the boot loader starts needs $1, which is not there"
    }
}

# --- systemd-boot ---

ask_systemd_boot() {
    local at by_default by_preference exact entry_places key value
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
    # NixOS names an entry, and mostly there is nothing else to look at.
    exact=${by_preference:-$by_default}
    case $exact in
    *[!A-Za-z0-9._-]*) ;;
    *.conf)
        entries_called "$exact"
        case $entry_count,$chosen in
        1,*"/$exact") read_entry "$chosen" && return ;;
        1,*+0.conf | 1,*+0-*.conf) ;;
        1,*) [ -z "$by_preference" ] || { read_entry "$chosen" && return; } ;;
        esac
        ;;
    esac
    sort_entries
}

is_boot_mount() { case "$boot_mounts$firmware_mounts " in *" $1 "*) ;; *) return 1 ;; esac; }

# entries_called NAME: how many there are, with their tries counted in their names or not, in $entry_count; the last one in $chosen.
entries_called() {
    local at file
    entry_count=0
    chosen=
    for at in $entry_places; do
        for file in "$at/loader/entries/$1" "$at/loader/entries/${1%.conf}"+[0-9]*.conf; do
            [ ! -e "$file" ] || { entry_count=$((entry_count + 1)) && chosen=$file; }
        done
    done
}

# read_entry FILE: what it starts; false where the loader passes over it, since its kernel is not there.
read_entry() {
    local at key options value
    at=${1%/loader/entries/*}
    options=
    while read -r key value || [ -n "$key" ]; do
        case $key in
        linux) [ -e "$at/${value#/}" ] || return 1 ;;
        initrd) needs_file "$at/${value#/}" ;;
        options) options="$options $value" ;;
        esac
    done <"$1"
    [ "$broken" = yes ] || name_init "$options"
}

# sort_entries: a pattern stands for the first of those that it matches, and so does no default at all. As systemd-boot orders them: by
# sort-key, machine-id, version and name, those last whose tries are used up. Its releases do not agree whether the tries are part
# of an entry's name, nor what a name without .conf is; where that matters, it cannot be told.
sort_entries() {
    local at file
    case $by_default$by_preference in
    *@*) why_not="the default entry is one that was chosen in the menu" && return ;;
    *[!A-Za-z0-9*?._+-]*) why_not="the default entry is a pattern that is not understood" && return ;;
    esac
    set --
    for at in $entry_places; do
        for file in "$at"/EFI/Linux/*.efi; do
            [ ! -e "$file" ] || { why_not="there are unified kernel images, and the default is none of the other entries" && return; }
        done
        for file in "$at"/loader/entries/*.conf; do
            [ ! -e "$file" ] || set -- "$@" "$file"
        done
    done
    why_not="there is no entry that the loader would start by itself"
    [ "$#" != 0 ] || return 0
    chosen=$(awk -v preferred="$by_preference" -v wanted="$by_default" '
        function later(a, b,   r, c, k, x, y, m) {
            for (;;) {
                sub(/^[^0-9A-Za-z~^.-]+/, "", a)
                sub(/^[^0-9A-Za-z~^.-]+/, "", b)
                r = (a !~ /^~/) - (b !~ /^~/)
                if (r) return r
                if (a ~ /^~/) { a = substr(a, 2); b = substr(b, 2) }
                if (a == "" || b == "") return (a != "") - (b != "")
                for (k = 1; k <= 3; k++) {
                    c = substr("-^.", k, 1)
                    x = substr(a, 1, 1) == c
                    y = substr(b, 1, 1) == c
                    if (x != y) return y - x
                    if (x) { a = substr(a, 2); b = substr(b, 2) }
                }
                if (a ~ /^[0-9]/ || b ~ /^[0-9]/) {
                    match(a, /^[0-9]*/); x = substr(a, 1, RLENGTH); a = substr(a, RLENGTH + 1)
                    match(b, /^[0-9]*/); y = substr(b, 1, RLENGTH); b = substr(b, RLENGTH + 1)
                    r = (x != "") - (y != "")
                    sub(/^0+/, "", x)
                    sub(/^0+/, "", y)
                    if (!r) r = length(x) - length(y)
                } else {
                    match(a, /^[A-Za-z]*/); x = substr(a, 1, RLENGTH); a = substr(a, RLENGTH + 1)
                    match(b, /^[A-Za-z]*/); y = substr(b, 1, RLENGTH); b = substr(b, RLENGTH + 1)
                    m = length(x) < length(y) ? length(x) : length(y)
                    r = compare(substr(x, 1, m), substr(y, 1, m))
                    if (!r) r = length(x) - length(y)
                }
                if (!r) r = compare(x, y)
                if (r) return r
            }
        }
        function compare(x, y) { return (x "" > y "") - (x "" < y "") }
        function before(i, j,   r) {
            r = (left[i] == 0) - (left[j] == 0)
            if (!r) r = (key[i] == "") - (key[j] == "")
            if (!r && key[i] != "") {
                r = compare(key[i], key[j])
                if (!r) r = compare(machine[i], machine[j])
                if (!r) r = -later(version[i], version[j])
            }
            if (!r) r = -later(id[i], id[j])
            if (!r && left[i] >= 0 && left[j] >= 0) r = left[i] == left[j] ? tried[i] - tried[j] : left[j] - left[i]
            return r < 0
        }
        function first(pattern, skip_bad,   i, best) {
            gsub(/[.+]/, "[&]", pattern)
            gsub(/[*]/, ".*", pattern)
            gsub(/[?]/, ".", pattern)
            best = 0
            for (i = 1; i <= n; i++)
                if (there[i] && !(skip_bad && left[i] == 0) && id[i] ~ ("^" pattern "$") && (!best || before(i, best))) best = i
            return best
        }
        function pick(default_entry,   i) {
            i = preferred == "" ? 0 : first(preferred, 1)
            if (!i && default_entry != "") i = first(default_entry, 0)
            if (!i) i = first("*", 0)
            if (picks++ && i != picked) unsure = 1
            picked = i
        }
        FNR == 1 {
            files[++n] = FILENAME
            root = FILENAME
            sub(/\/loader\/entries\/[^\/]*$/, "", root)
            name = tolower(substr(FILENAME, length(root) + 17))
            raw[n] = stripped[n] = name
            left[n] = tried[n] = -1
            if (match(name, /[+][0-9]+(-[0-9]+)?[.]conf$/)) {
                stripped[n] = substr(name, 1, RSTART - 1) ".conf"
                split(substr(name, RSTART + 1), counted, /[-.]/)
                left[n] = counted[1] + 0
                tried[n] = counted[2] + 0
            }
            if (name ~ /^([.]|auto-)/) ignored[n]
        }
        {
            value = $0
            sub(/^[ \t]*[^ \t]+[ \t]+/, "", value)
            sub(/[ \t\r]+$/, "", value)
        }
        $1 == "sort-key" { key[n] = value }
        $1 == "machine-id" { machine[n] = value }
        $1 == "version" { version[n] = value }
        $1 == "architecture" || $1 == "uki-url" { unsure = 1; exit }
        $1 == "linux" || $1 == "efi" || $1 == "uki" {
            gsub(/\\/, "/", value)
            there[n] = !(n in ignored) && (getline line < (root "/" value)) >= 0
            close(root "/" value)
        }
        END {
            preferred = tolower(preferred)
            wanted = tolower(wanted)
            for (i = 1; i <= n; i++) id[i] = stripped[i]
            pick(wanted)
            if (preferred == "") {
                if (wanted ~ /^[^*?]+$/ && wanted !~ /[.]conf$/) pick(wanted ".conf")
                for (i = 1; i <= n; i++) id[i] = raw[i]
                pick(wanted)
            }
            print unsure ? "?" : picked ? files[picked] : ""
        }' "$@")
    case $chosen in
    '') ;;
    '?') why_not="the default entry is not the same for each release of systemd-boot" ;;
    *)
        why_not=
        read_entry "$chosen" || why_not="the default entry cannot be read"
        ;;
    esac
}

# --- GRUB ---

# The default is a number, a title or an id, or a path of them through the submenus, in which a > of a title is doubled. One that is not there
# stands for the first entry. What is chosen for one boot is not it.
ask_grub() {
    local said
    said=$(awk -v environment="$1/grub/grubenv" '
        function give_up(why) { given_up = 1; print "? " why; exit }
        function unquoted(text,   quote) {
            sub(/^[ \t]+/, "", text)
            sub(/[ \t;]+$/, "", text)
            quote = substr(text, 1, 1)
            if (quote != "\"" && quote != "\047") return text
            return substr(text, length(text)) == quote ? substr(text, 2, length(text) - 2) : text
        }
        function title(text,   quote) {
            sub(/^[ \t]*(menuentry|submenu)[ \t]+/, "", text)
            quote = substr(text, 1, 1)
            if (quote != "\"" && quote != "\047") { sub(/[ \t{].*/, "", text); return text }
            text = substr(text, 2)
            return substr(text, 1, index(text, quote) - 1)
        }
        function named(text) {
            if (!match(text, /(--id|[$][{]?menuentry_id_option[}]?)[ \t=]+/)) return ""
            text = substr(text, RSTART + RLENGTH)
            sub(/[ \t]*[{].*$/, "", text)
            sub(/[ \t]+--.*$/, "", text)
            return unquoted(text)
        }
        function saved(   line, value) {
            value = ""
            while ((getline line < environment) > 0) if (sub(/^saved_entry=/, "", line)) value = line
            if (value ~ /\\/) give_up("the entry that was saved is not understood")
            return value
        }
        BEGIN { depth = 0; menu[0] = 0; menus = 1 }
        depth == 0 && /^[ \t]*if[ \t]/ { conditions++ }
        depth == 0 && /(^|[ \t;])fi[ \t;]*$/ { conditions-- }
        depth == 0 && /^[ \t]*(source|configfile|[.])[ \t]/ { included = 1 }
        /^[ \t]*(menuentry|submenu)[ \t]/ && (depth == 0 || kind[depth] == "submenu") {
            at = menu[depth]
            i = count[at]++
            titles[at, i] = title($0)
            ids[at, i] = named($0)
            unsure[at, i] = included || (depth == 0 && conditions > 0)
            is_menu = $1 == "submenu"
            if ($0 ~ /[{][ \t]*$/) {
                depth++
                kind[depth] = $1
                if (is_menu) { menu[depth] = menus; within[at, i] = menus++ }
                entry_menu = at; entry_number = i
            } else text[at, i] = $0
            next
        }
        /^[ \t]*function[ \t].*[{][ \t]*$/ { depth++; kind[depth] = "function"; next }
        /^[ \t]*[}]/ { if (depth) depth--; next }
        depth && kind[depth] == "menuentry" { text[entry_menu, entry_number] = text[entry_menu, entry_number] $0 "\n"; next }
        depth == 0 && /^[ \t]*(set[ \t]+)?default=/ {
            value = $0
            sub(/^[ \t]*(set[ \t]+)?default=/, "", value)
            value = unquoted(value)
            if (value ~ /^[$][{]?next_entry[}]?$/) next
            if (has_default && value "" != chosen "") several = 1
            has_default = 1
            chosen = value
        }
        END {
            if (given_up) exit
            if (several) give_up("grub.cfg sets more than one default")
            if (chosen ~ /^[$][{]?saved_entry[}]?$/) chosen = saved()
            if (chosen ~ /[$]/) give_up("the default of grub.cfg is made while it runs")
            at = 0
            rest = chosen
            for (;;) {
                gsub(/>>/, "\n", rest)
                part = rest
                rest = ""
                if (i = index(part, ">")) { rest = substr(part, i + 1); part = substr(part, 1, i - 1) }
                gsub(/\n/, ">", part)
                gsub(/\n/, ">>", rest)
                sub(/^[ \t]+/, "", rest)
                sub(/^[ \t]+/, "", part)
                found = 0
                if (part ~ /^[0-9]+$/) found = part + 0 < count[at] ? part + 0 : 0
                else if (part ~ /^[0-9]/) give_up("the default of grub.cfg is not understood")
                else for (i = 0; i < count[at]; i++) if (part != "" && (titles[at, i] "" == part || ids[at, i] "" == part)) { found = i; break }
                if (!count[at]) give_up("grub.cfg has no entry")
                for (i = 0; i <= found; i++) if (unsure[at, i]) give_up("entries of grub.cfg depend on what it finds while it runs")
                if (!((at, found) in within)) break
                if (rest == "") give_up("the default of grub.cfg is a submenu")
                at = within[at, found]
            }
            lines = split(text[at, found], line, "\n")
            for (i = 1; i <= lines; i++) {
                words = split(line[i], word, /[ \t]+/)
                first = word[1] == "" ? 2 : 1
                for (k = first + 1; k <= words; k++) {
                    if (word[k] ~ /^init=/) print "init " word[k]
                    if (word[first] ~ /^(linux|initrd|module|multiboot)/ && match(word[k], /\/kernels\/[^\/]+$/)) print "file " substr(word[k], RSTART)
                }
            }
        }' "$2" 2>/dev/null)
    case $said in
    '? '*) why_not=${said#??} && return ;;
    esac
    read_said "$1" "$said"
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
