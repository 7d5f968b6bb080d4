# Roots of the garbage collector for what a deployment is about to need.
# needs: base
# shellcheck shell=sh

# make_root PATH: a root may point to what is not there yet. The directory goes with the last root of an ending deployment.
make_root() {
    local tries
    tries=0
    until mkdir -p "$roots" && ln -sfn "$1" "$roots/${1##*/}"; do
        tries=$((tries + 1))
        [ "$tries" -lt 5 ] || refuse no-root "cannot make a garbage collector root in $roots: $(df -h "$roots" 2>&1 | tail -n 1)"
    done
}
