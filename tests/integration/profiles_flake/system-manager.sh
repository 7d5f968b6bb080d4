# Builds what system-manager's makeSystemConfig builds: programs, a list of files of /etc, and a list of units with their store paths.
# shellcheck shell=sh disable=SC2154,SC2016 # its derivation sets them
mkdir -p "$out/bin" "$out/services" "$out/etcFiles" "$out/etc/lab" "$out/units"
echo "$version" >"$out/etc/lab/version"
start="/bin/sleep infinity"
[ "$fault" != unit-fails ] || start="/bin/false"
unit() {
    printf '[Unit]\nDescription=%s %s\n[Service]\nExecStart=%s\nEnvironment=VERSION=%s\n[Install]\nWantedBy=system-manager.target\n' \
        "$1" "$version" "$2" "$version" >"$out/units/$1.service"
}
unit lab-web "$start"
list="\"lab-web.service\":{\"masked\":false,\"storePath\":\"$out/units/lab-web.service\"}"
# Each has a unit that no other version has.
unit "lab-only-$version" "/bin/sleep infinity"
list="$list,\"lab-only-$version.service\":{\"masked\":false,\"storePath\":\"$out/units/lab-only-$version.service\"}"
printf '{%s}' "$list" >"$out/services/services.json"
# What it links in /etc.
mkdir -p "$out/static/lab" "$out/static/systemd/system/system-manager.target.wants"
ln -s "$out/etc/lab/version" "$out/static/lab/version"
for name in lab-web "lab-only-$version"; do
    ln -s "$out/units/$name.service" "$out/static/systemd/system/$name.service"
    ln -s "$out/units/$name.service" "$out/static/systemd/system/system-manager.target.wants/$name.service"
done
for name in system-manager sysinit-reactivation; do
    printf '[Unit]\nDescription=%s\n' "$name" >"$out/units/$name.target"
    ln -s "$out/units/$name.target" "$out/static/systemd/system/$name.target"
done
mkdir "$out/static/systemd/system/default.target.wants"
ln -s "$out/units/system-manager.target" "$out/static/systemd/system/default.target.wants/system-manager.target"
# What its own engine cannot read it only logs.
[ "$fault" != error ] || echo "no JSON" >"$out/services/services.json"
printf '{"entries":{},"staticEnv":"%s"}' "$out/static" >"$out/etcFiles/etcFiles.json"
assertions=true
[ "$fault" != assertion ] || assertions="echo Pre-activation assertion osVersion failed.; exit 1"
printf '#!/bin/sh\n%s\n' "$assertions" >"$out/bin/preActivationAssertions"
case $engine in
*.bin)
    fails=
    [ "$fault" != exit ] || fails="exit 1"
    [ "$fault" != hangs ] || fails="sleep 1000"
    for action in activate prepopulate; do
        printf '#!/bin/sh\n%s %s --store-path %s || exit\n' "$engine" "$action" "$out" >"$out/bin/$action"
    done
    echo "$fails" >>"$out/bin/activate"
    printf '#!/bin/sh\nexec %s deactivate\n' "$engine" >"$out/bin/deactivate"
    ;;
*)
    printf '#!/bin/sh\nFAULT=%s exec /bin/sh %s activate %s\n' "$fault" "$engine" "$out" >"$out/bin/activate"
    printf '#!/bin/sh\nexec /bin/sh %s prepopulate %s\n' "$engine" "$out" >"$out/bin/prepopulate"
    printf '#!/bin/sh\nexec /bin/sh %s deactivate\n' "$engine" >"$out/bin/deactivate"
    ;;
esac
chmod +x "$out"/bin/*
