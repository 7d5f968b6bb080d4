# A profile that is no NixOS system has nothing to do with the boot loader.
# sets: loader loader_starts loader_lacks
# shellcheck shell=sh

# shellcheck disable=SC2034
ask_loader() { loader='' loader_starts='' loader_lacks=''; }

loader_names() { :; }

answer_loader() { :; }
