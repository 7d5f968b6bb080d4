# What runs of a profile is what it names, or what an earlier deployment has left, which the next one mends: under the name of that one.
# needs: base complain
# shellcheck shell=sh

# tested_boot_default: whether no other way to name this profile, or another owner of it, has left something to mend or repair.
tested_boot_default() {
    local other
    for other in /var/lib/deploy-flake-*/profile; do
        [ "$other" != "$var_dir/profile" ] || continue
        read_line "$other"
        [ "$line" = "$profile" ] || continue
        other=${other%/profile}
        [ ! -e "$other/open.json" ] && [ ! -L "$other/live" ] || { complain busy "has a deployment of the same profile, named otherwise or as another user's, that is unfinished or has failed ($other): \
deploy it once more as it was named then"; return; }
    done
}

# note_profile: for whoever names it otherwise; before anything is activated.
note_profile() { printf '%s\n' "$profile" >"$var_dir/profile.new" && mv -f "$var_dir/profile.new" "$var_dir/profile"; }
