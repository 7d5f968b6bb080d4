# The `nixosConfigurations` that are deployed. The test builds them before; the targets evaluate them again.
{
  # This flake's NixOS module, what the systems differ in, and what only the test knows.
  change,
  given,
  module,
  nixpkgs,
}:
builtins.mapAttrs (
  _: network:
  nixpkgs.lib.nixosSystem {
    modules = [
      # What every machine of a test has: a virtual disk, the driver's way in, no revision in its version.
      "${nixpkgs}/nixos/modules/virtualisation/qemu-vm.nix"
      "${nixpkgs}/nixos/lib/testing/nixos-test-base.nix"
      (import ./target.nix given.key)
      change
      module
      network
      { nixpkgs.hostPlatform = given.system; }
    ];
  }
) given.networks
