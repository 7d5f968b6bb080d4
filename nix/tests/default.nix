# The flake's checks: NixOS in virtual machines, written as nixpkgs writes its own tests.
{
  deploy-flake,
  nixpkgs,
  pkgs,
  self,
}:
let
  run = file: given: pkgs.testers.runNixOSTest (import file ({ inherit deploy-flake pkgs self; } // given));
in
{
  deploy = run ./deploy.nix { inherit nixpkgs; };
  systemd-boot = run ./trial.nix {
    name = "systemd-boot";
    loader = {
      virtualisation.useEFIBoot = true;
      boot.loader.systemd-boot.enable = true;
      boot.loader.efi.canTouchEfiVariables = true;
    };
  };
}
// pkgs.lib.optionalAttrs pkgs.stdenv.hostPlatform.isx86_64 {
  grub = run ./trial.nix {
    name = "grub";
    loader.boot.loader.grub.enable = true;
  };
}
