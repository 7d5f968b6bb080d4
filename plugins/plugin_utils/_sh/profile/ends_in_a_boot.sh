# What an activation has written is still there after a boot, so no shutdown ends a deployment: what comes after the boot takes it back.
# shellcheck shell=sh

ends_in_a_boot() { return 1; }
