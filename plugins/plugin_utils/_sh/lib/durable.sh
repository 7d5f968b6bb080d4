# Records that survive a power loss.
# needs: base
# shellcheck shell=sh

# open_field NAME: of the durable record of the deployment that is open or was interrupted; nothing where there is none.
open_field() { field_of "$1" "$var_dir/open.json"; }

# field_of NAME FILE: of a durable record, which has a line for each field.
field_of() { [ ! -e "$2" ] || sed -n "s/^\"$1\": \"\([^\"]*\)\",\{0,1\}\$/\1/p" "$2" 2>/dev/null; }

# mark_open NAME, is_marked NAME: what has become of the deployment that is open; it survives a power loss as that one does.
mark_open() { { printf '%s\n' "$id" >"$var_dir/open.$1"; } 2>/dev/null && sync -f "$var_dir/open.$1"; }

is_marked() {
    read_line "$var_dir/open.$1"
    [ "$line" = "$id" ]
}
