# Commands of Nix that are experimental, whatever the host's configuration enables.
# sets: features
# shellcheck shell=sh

features="--extra-experimental-features nix-command"
