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
printf '{"entries":{}}' >"$out/etcFiles/etcFiles.json"
assertions=true
[ "$fault" != assertion ] || assertions="echo Pre-activation assertion osVersion failed.; exit 1"
printf '#!/bin/sh\n%s\n' "$assertions" >"$out/bin/preActivationAssertions"
printf '#!/bin/sh\nFAULT=%s exec /bin/sh %s activate %s\n' "$fault" "$engine" "$out" >"$out/bin/activate"
printf '#!/bin/sh\nexec /bin/sh %s prepopulate %s\n' "$engine" "$out" >"$out/bin/prepopulate"
printf '#!/bin/sh\nexec /bin/sh %s deactivate\n' "$engine" >"$out/bin/deactivate"
chmod +x "$out"/bin/*
