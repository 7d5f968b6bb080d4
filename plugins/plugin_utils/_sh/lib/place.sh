# Where what is deployed has its profile, what survives a reboot, and its roots of the garbage collector.
# shellcheck shell=sh

var_dir=/var/lib/deploy-flake
# shellcheck disable=SC2034 # no script uses all of them
roots=/nix/var/nix/gcroots/deploy-flake
# shellcheck disable=SC2034
profile=/nix/var/nix/profiles/system
