# What copies of kernels and initrds are called on /boot.
# sets: name
# shellcheck shell=sh

# name_at_boot FILE: in $name what installers call a copy of a file of the store.
name_at_boot() {
    name=${1#/nix/store/}
    while :; do
        case $name in */*) name=${name%%/*}-${name#*/} ;; *) break ;; esac
    done
}
