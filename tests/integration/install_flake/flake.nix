{
  description = "The example flake, whose hosts have what disko and nixpkgs give to a configuration, in stand-ins";

  outputs =
    { self }:
    let
      base = (import ./base.nix).outputs { inherit self; };
      # disko's script is its output itself, and nixos-install is a package.
      program =
        name: place: file:
        derivation {
          inherit name;
          system = "x86_64-linux";
          builder = "/bin/sh";
          args = [
            "-euc"
            "PATH=/usr/bin:/bin\nmkdir -p $(dirname $out${place})\ncp ${file} $out${place}\nchmod 0755 $out${place}\nexit 0"
          ];
        };
      withDisko =
        configuration:
        configuration
        // {
          config = configuration.config // {
            disko.devices.disk.main = {
              type = "disk";
              device = "/dev/disk/by-id/virtio-new";
            };
            system = configuration.config.system // {
              build = configuration.config.system.build // {
                diskoScript = program "disko" "" ./disko.sh;
                nixos-install = program "nixos-install" "/bin/nixos-install" ./nixos-install.sh;
              };
            };
          };
        };
    in
    base // { nixosConfigurations = builtins.mapAttrs (_: withDisko) base.nixosConfigurations; };
}
