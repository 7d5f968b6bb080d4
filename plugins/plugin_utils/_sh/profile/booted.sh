# Nor with what was booted.
# shellcheck shell=sh

other_parts() { :; }
