# The environment of a script, whatever the login or systemd has brought: the tools are those of the system that runs now.
# shellcheck shell=sh disable=SC2034,SC2123 # base and place export them

LC_ALL=C
PATH=/run/wrappers/bin:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
