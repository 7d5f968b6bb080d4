# Records that survive a power loss.
# needs: base
# shellcheck shell=sh

# open_field NAME: of the durable record of the deployment that is open or was interrupted; nothing where there is none.
open_field() { field_of "$1" "$var_dir/open.json"; }

# field_of NAME FILE: of a durable record, which has a line for each field.
field_of() { [ ! -e "$2" ] || sed -n "s/^\"$1\": \"\([^\"]*\)\",\{0,1\}\$/\1/p" "$2" 2>/dev/null; }
