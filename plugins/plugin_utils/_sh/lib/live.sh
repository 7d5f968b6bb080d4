# What runs, and its tools.
# sets: tools
# needs: base
# shellcheck shell=sh

live_system() { leads_to /run/current-system; }

# tools_of SYSTEM: in $tools, where to look for them.
tools_of() { tools=$1/sw/bin:$1/systemd/bin:$PATH; }
