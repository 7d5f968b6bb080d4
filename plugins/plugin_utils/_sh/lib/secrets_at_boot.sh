# Whether a system brings secrets below /run back at its boot.
# shellcheck shell=sh

# brings_secrets_at_boot SYSTEM: whether it has the unit of the NixOS module.
brings_secrets_at_boot() { [ -e "$1/etc/systemd/system/deploy-flake-secrets.service" ]; }
