# Whether the host's own tools do their work.
# shellcheck shell=sh

# tools_work: every limit rests on this one; one that does nothing would make all commands look as if they had worked.
tools_work() { [ "$(timeout -k 5 20 echo yes)" = yes ] && [ "$(readlink -f /proc/self/cwd)" != "" ]; }
