# What the secrets that were sent for a deployment mean for whether it may begin, and go on. Its reports go where the program wants them, as those of
# check_before_switch.
# brings_secrets: whether some were sent for it.
# inputs: brings_secrets
# facts: new
# needs: base complain lines secrets_at_boot staged_secrets
# shellcheck shell=sh

# secrets_mend_that: where all that has failed is restarted with them. It may have failed for want of one, which a boot has taken away.
secrets_mend_that() {
    [ "$brings_secrets:$code" = yes:units-failed-before ] && [ -s "$secrets_dir/$id/units" ] || return 1
    sed -n 's/^restart://p' "$secrets_dir/$id/units" >"$dir/mended" && [ -z "$(lines_without "$dir/mended" <"$dir/failed")" ] || return 1
    note "had failed already, and are restarted with their secrets: $(paste -s -d ' ' "$dir/failed")"
    printf '' >"$dir/failed"
}

# secrets_outlast_boot: whether a boot that is to bring them to the units leaves them there.
secrets_outlast_boot() {
    local lost
    [ "$brings_secrets" = yes ] && ! brings_secrets_at_boot "$new" || return 0
    # Also what is there already.
    lost=$(cut -f 2 "$secrets_dir/$id/secrets" 2>/dev/null | grep -e '^/run/' | paste -s -d ' ')
    [ -z "$lost" ] || complain secrets "the new system is not tried, and the boot that is to bring it takes away what is below /run: $lost; \
import the NixOS module of deploy-flake (nixosModules.default, deploy-flake.secrets.enable) in it, or have them elsewhere, as in /etc/secrets"
}
