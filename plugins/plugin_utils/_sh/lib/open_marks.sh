# What has become of the deployment that is open, where that must survive a power loss: open.NAME beside open.json.
# needs: base
# shellcheck shell=sh

# mark_open NAME
mark_open() { { printf '%s\n' "$id" >"$var_dir/open.$1"; } 2>/dev/null && sync -f "$var_dir/open.$1"; }

# is_marked NAME
is_marked() {
    read_line "$var_dir/open.$1"
    [ "$line" = "$id" ]
}
