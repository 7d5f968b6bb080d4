# Of NixOS' options, those that are used. A submodule that takes anything in NixOS takes here only what is used.
{ lib, ... }:
let
  inherit (lib) types;
  option = type: lib.mkOption { inherit type; };
  default =
    value: type:
    lib.mkOption {
      inherit type;
      default = value;
    };
  bool = default false types.bool;
  strings = default [ ] (types.listOf types.str);
  set = type: default { } (types.attrsOf type);
in
{
  options = {
    boot = {
      growPartition = bool;
      kernelParams = strings;
      loader = {
        efi.canTouchEfiVariables = bool;
        grub.enable = default true types.bool;
        systemd-boot.enable = bool;
        timeout = default 5 types.int;
      };
    };
    documentation.enable = default true types.bool;
    environment = {
      etc = set (types.submodule { text = option types.str; });
      pathsToLink = strings;
      systemPackages = default [ ] (types.listOf types.package);
    };
    networking = {
      extraHosts = default "" types.str;
      hostName = default "nixos" types.str;
      primaryIPAddress = default "" types.str;
    };
    nix.settings = default { } (
      types.submodule {
        experimental-features = strings;
        flake-registry = default "https://channels.nixos.org/flake-registry.json" types.str;
        substituters = default [ "https://cache.nixos.org" ] (types.listOf types.str);
      }
    );
    nixpkgs.hostPlatform = option types.str;
    security.sudo.extraRules = default [ ] (
      types.listOf (
        types.submodule {
          users = strings;
          commands = option (
            types.listOf (
              types.submodule {
                command = option types.str;
                options = strings;
              }
            )
          );
        }
      )
    );
    services.openssh = {
      enable = bool;
      openFirewall = default true types.bool;
    };
    specialisation = set (types.submodule { configuration = option types.deferredModule; });
    system = {
      build = set types.anything;
      switch.enable = default true types.bool;
    };
    systemd.paths = set (
      types.submodule {
        description = default "" types.str;
        pathConfig = set types.anything;
        wantedBy = strings;
      }
    );
    systemd.services = set (
      types.submodule {
        after = strings;
        before = strings;
        description = default "" types.str;
        restartIfChanged = default true types.bool;
        serviceConfig = set types.anything;
        stopIfChanged = default true types.bool;
        unitConfig = set types.anything;
        wantedBy = strings;
      }
    );
    users.users = set (
      types.submodule {
        extraGroups = strings;
        isNormalUser = bool;
        openssh.authorizedKeys.keys = strings;
      }
    );
  };
}
