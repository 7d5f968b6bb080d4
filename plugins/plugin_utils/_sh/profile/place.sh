# Where a profile that is no NixOS system is, and what belongs to it. place: its name in the names of files and units, and nobody else's.
# profile_path: the link of the profile; one that begins with ~/ is below its owner's home. profile_user: the owner.
# activate: the program that activates a generation, where its kind does not say; or nothing. first: whether there may be none to go back to.
# inputs: place profile_path profile_user activate first
# sets: profile_home
# needs: path
# shellcheck shell=sh

# Who the owner is, a tool tells.
export LC_ALL PATH
var_dir=/var/lib/deploy-flake-$place
# shellcheck disable=SC2034 # no script uses all of them
roots=/nix/var/nix/gcroots/deploy-flake-$place
profile=$profile_path
profile_home=/root
# An owner whom nobody knows has no profile, which is told before anything is begun.
[ "$profile_user" = root ] || {
    profile_home=$(timeout -k 5 20 getent passwd "$profile_user" | cut -d : -f 6)
    [ -n "$profile_home" ] || profile_home=/nonexistent
}
# shellcheck disable=SC2088 # nobody is to expand it
case $profile in "~/"*) profile=$profile_home/${profile#??} ;; esac
