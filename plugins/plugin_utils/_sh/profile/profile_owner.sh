# As whom a profile is moved and activated: as its owner, who can do no more with it than before.
# needs: base log place quote
# shellcheck shell=sh

# for_profile SECONDS COMMAND…: with an environment of its own, which is the same for whoever deploys.
for_profile() {
    local group seconds user
    seconds=$1
    shift
    set -- env -i "HOME=$profile_home" "USER=$profile_user" "LOGNAME=$profile_user" "PATH=$profile_home/.nix-profile/bin:$PATH" LANG=C.UTF-8 "$@"
    [ "$profile_user" = root ] || {
        user=$(timeout -k 5 20 id -u -- "$profile_user") && group=$(timeout -k 5 20 id -g -- "$profile_user") || {
            status=1
            return 1
        }
        # Of a session there may be none.
        [ ! -d "/run/user/$user" ] || { shift 2 && set -- env -i "XDG_RUNTIME_DIR=/run/user/$user" "$@"; }
        set -- setpriv --reuid "$user" --regid "$group" --init-groups --inh-caps=-all "$@"
    }
    # What it makes is for all to read, as far as it says nothing else.
    umask 022
    logged "$seconds" "$@"
    umask 077
    return "$status"
}

# place_facts: where the profile is and its owner's home. Later on, at a boot say, nobody may be there to ask.
place_facts() { fact profile "$profile" && fact profile_home "$profile_home"; }
