# What runs of a profile is what it names, or what an earlier deployment has left, which the next one mends.
# shellcheck shell=sh

tested_boot_default() { :; }
