# Builds what deploy-rs makes of `activate.custom`.
# shellcheck shell=sh disable=SC2154,SC2016 # its derivation sets them
mkdir -p "$out"
{
    printf '#!/bin/sh\nset -eu\n[ "$DRY_ACTIVATE$BOOT" = 00 ] && [ "$PROFILE" = %s ] && [ "$PWD" = %s ]\n' "$out" "$out"
    printf 'mkdir -p /var/lib/site\necho %s >/var/lib/site/version\n' "$version"
    [ "$fault" != exit ] || echo "exit 1"
} >"$out/deploy-rs-activate"
chmod +x "$out/deploy-rs-activate"
