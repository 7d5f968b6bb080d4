# What the line of a deployment that has ended says of it. Before it: $id.
# needs: base
# shellcheck shell=sh

# recorded_outcome: what its line says, once there is one; nothing else can become of it then.
recorded_outcome() {
    recorded_lines | sed -n "s/^{\"id\": \"$id\".*, \"outcome\": \"\([a-z-]*\)\", \"started\": .*}\$/\1/p" | head -n 1
}
