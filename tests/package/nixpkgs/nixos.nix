# A system, of which every option is evaluated: its derivation holds them.
{
  arguments ? { },
  lib,
  modules,
  packages,
}:
let
  pkgs = packages.${config.nixpkgs.hostPlatform};
  config = lib.evalModules {
    arguments = {
      inherit lib pkgs;
    }
    // arguments;
    modules = modules ++ [
      ./options.nix
      { system.build = { inherit toplevel; }; }
    ];
  };
  # One that is tried has what it builds on, as NixOS has it.
  specialised = builtins.mapAttrs (
    _: special:
    (import ./nixos.nix {
      inherit arguments lib packages;
      modules = modules ++ special.configuration ++ [ { specialisation = lib.mkForce { }; } ];
    }).config.system.build.toplevel
  ) config.specialisation;
  toplevel = derivation {
    name = "nixos-system-${config.networking.hostName}";
    system = config.nixpkgs.hostPlatform;
    builder = "/bin/sh";
    # A virtual machine has what its disk holds, and no system knows of it.
    settings = builtins.toJSON (
      removeAttrs config [
        "specialisation"
        "system"
        "virtualisation"
      ]
      // {
        inherit specialised;
        inherit (config.system) switch;
      }
    );
  };
in
{
  inherit config pkgs;
}
