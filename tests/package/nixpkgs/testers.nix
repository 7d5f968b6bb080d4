# `pkgs.testers`: the machines of a test and its script, evaluated and not built.
{ lib, pkgs }:
{
  runNixOSTest =
    {
      name,
      nodes,
      testScript,
    }:
    let
      network = machine: {
        networking = {
          hostName = lib.mkDefault machine;
          primaryIPAddress = "192.168.1.1";
          extraHosts = builtins.concatStringsSep "\n" (builtins.attrNames nodes);
        };
      };
      configs = builtins.mapAttrs (
        machine: module:
        (import ./nixos.nix {
          inherit lib;
          arguments = {
            name = machine;
            nodes = configs;
          };
          packages.${pkgs.stdenv.hostPlatform.system} = pkgs;
          modules = [
            module
            ./nixos/modules/virtualisation/qemu-vm.nix
            ./nixos/lib/testing/nixos-test-base.nix
            (network machine)
            {
              nixpkgs.hostPlatform = pkgs.stdenv.hostPlatform.system;
              system.build.networkConfig = network machine;
            }
          ];
        }).config
      ) nodes;
      script = if builtins.isFunction testScript then testScript { nodes = configs; } else testScript;
    in
    derivation {
      name = "vm-test-run-${name}";
      inherit (pkgs.stdenv.hostPlatform) system;
      inherit script;
      builder = "/bin/sh";
      machines = builtins.toJSON (
        builtins.mapAttrs (_: config: {
          inherit (config) virtualisation;
          inherit (config.system.build) toplevel;
        }) configs
      );
    }
    // {
      inherit script;
      nodes = configs;
    };
}
