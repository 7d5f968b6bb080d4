# As whom a profile is moved.
# needs: log
# shellcheck shell=sh

# for_profile SECONDS COMMAND…: the system's is root's.
for_profile() { logged "$@"; }

# place_facts: what has to stay as it is; the system's place is everywhere the same.
place_facts() { :; }
