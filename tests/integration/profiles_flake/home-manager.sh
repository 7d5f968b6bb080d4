# Builds what homeManagerConfiguration builds as its activationPackage.
# shellcheck shell=sh disable=SC2154 # its derivation sets them
mkdir -p "$out/home-files/.config/lab" "$out/home-path"
echo "$version" >"$out/home-files/.config/lab/version"
echo 1 >"$out/gen-version"
{ printf '#!/bin/sh\nnewGenPath=%s\nFAULT=%s\n' "$out" "$fault" && cat "$home"; } >"$out/activate"
[ "$fault" != older ] || printf '#!/bin/sh\nexit 0\n' >"$out/activate"
chmod +x "$out/activate"
