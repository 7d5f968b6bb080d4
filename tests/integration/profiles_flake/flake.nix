{
  description = "Profiles that are no NixOS system, of the shape that system-manager, home-manager and deploy-rs give them";

  # None of those programs is here: what activates a generation is a stand-in, which does what theirs does as far as
  # whoever calls it can tell.
  outputs =
    { self }:
    let
      settings = import ./settings.nix;
      names = [
        "host1"
        "host2"
        "host3"
      ];
      build =
        name: builder:
        derivation {
          inherit name;
          inherit (settings) version fault;
          system = "x86_64-linux";
          builder = "/bin/sh";
          # The shell itself is there to the end, whose output Nix waits for.
          args = [
            "-euc"
            "PATH=/usr/bin:/bin\n${builtins.readFile builder}\nexit 0"
          ];
          # Where system-manager's own is there, it is that.
          engine = if builtins.pathExists ./engine.bin then "${./engine.bin}" else "${./engine.sh}";
          home = "${./home.sh}";
          preferLocalBuild = true;
        };
      each =
        make:
        builtins.listToAttrs (
          map (name: {
            name = make name;
            value = name;
          }) names
        );
    in
    {
      systemConfigs = builtins.mapAttrs (_: _: build "system-manager" ./system-manager.sh) (each (name: name));
      homeConfigurations = builtins.mapAttrs (_: _: { activationPackage = build "home-manager-generation" ./home-manager.sh; }) (
        each (name: "deploy@${name}")
      );
      packages.x86_64-linux.site = build "activatable-site" ./site.sh;
    };
}
