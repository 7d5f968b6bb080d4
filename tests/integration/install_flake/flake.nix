{
  description = "The example flake, whose hosts have what disko gives to a configuration, in a stand-in";

  outputs =
    { self }:
    let
      base = (import ./base.nix).outputs { inherit self; };
      # disko's script is its output itself.
      diskoScript = derivation {
        name = "disko";
        system = "x86_64-linux";
        builder = "/bin/sh";
        args = [
          "-euc"
          "PATH=/usr/bin:/bin\ncp ${./disko.sh} $out\nchmod 0755 $out\nexit 0"
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
                inherit diskoScript;
              };
            };
          };
        };
    in
    base // { nixosConfigurations = builtins.mapAttrs (_: withDisko) base.nixosConfigurations; };
}
