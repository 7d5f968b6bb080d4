# A host that is deployed to, as the test starts it and as the flake describes it.
key:
{ lib, ... }:
{
  deploy-flake.user = {
    enable = true;
    keys = [ key ];
  };
  deploy-flake.metrics.enable = true;

  # Tests have neither of them otherwise.
  system.switch.enable = true;
  boot.loader.grub.enable = false;

  # Nothing can be fetched.
  nix.settings = {
    substituters = lib.mkForce [ ];
    flake-registry = "";
  };
  documentation.enable = false;

  virtualisation = {
    cores = 2;
    # It evaluates nixpkgs.
    memorySize = 3072;
    diskSize = 4096;
    writableStoreUseTmpfs = false;
  };
}
