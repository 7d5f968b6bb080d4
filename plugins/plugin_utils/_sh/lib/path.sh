# The environment of a script, whatever the login or systemd has brought.
# shellcheck shell=sh

# own_environment: the tools are those of the system that runs now.
own_environment() {
    LC_ALL=C
    PATH=/run/wrappers/bin:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
    export LC_ALL PATH
}
