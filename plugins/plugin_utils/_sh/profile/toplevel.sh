# Whether what was built is a generation of a profile of this kind. Before it: $new.
# facts: new
# needs: base kind profile
# shellcheck shell=sh

choose_live_system() { new_live=$new; }

# look_at_owner: without the tools for it nobody can be asked who that is.
look_at_owner() {
    command -v getent >/dev/null || refuse_system no-tool "has no getent in $PATH (of the C library)"
    command -v setpriv >/dev/null || refuse_system no-tool "has no setpriv in $PATH (util-linux)"
    [ -d "$profile_home" ] || refuse_system no-user "has no user $profile_user with a home that is there (by 'getent passwd')"
}

# look_at_toplevel GENERATION: refuses one that is not for this profile.
look_at_toplevel() {
    local lacking
    [ "$profile_user" = root ] || look_at_owner
    lacking=$(is_lacking "$1")
    [ -z "$lacking" ] || refuse_system not-a-system "refuses $1: $lacking"
    # Nobody would be called back from it.
    [ "$first" = yes ] || [ -n "$(boot_default)" ] || can_be_taken_away "$1" ||
        refuse_system no-generation "has no generation in $profile yet, and nothing takes the first one away again where it fails. Allow it with 'first: true'"
}
