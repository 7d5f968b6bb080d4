# Which units the new generation brought, or has others of: as its kind knows them.
# facts: new_live previous_live
# needs: base kind lines
# shellcheck shell=sh

# list_only_new: units that are active, were not before, and that the new generation alone has.
list_only_new() {
    local name
    lines_without "$dir/active" <"$dir/active-now" >"$dir/came" || return 1
    while read -r name; do
        [ -z "$(unit_of "$new_live" "$name")" ] || [ -n "$(unit_of "$previous_live" "$name")" ] || printf '%s\n' "$name" || return 1
    done <"$dir/came" >"$dir/only-new"
}

# is_another_unit NAME: whether both have it, and not the same of it.
is_another_unit() {
    local its was
    its=$(unit_of "$new_live" "$1")
    was=$(unit_of "$previous_live" "$1")
    [ -n "$its" ] && [ -n "$was" ] && [ "$its" != "$was" ]
}

end_new_automounts() { :; }
