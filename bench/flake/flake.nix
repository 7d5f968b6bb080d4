# What the benchmark deploys: the example flake, which lies beside this as example.nix, with work for the evaluator, and with
# what deploy-rs wants of a flake.
{
  outputs =
    { self }:
    let
      inherit (builtins)
        listToAttrs
        mapAttrs
        seq
        toFile
        ;

      example = (import ./example.nix).outputs { inherit self; };
      hosts = import ./hosts.nix;
      rounds = import ./rounds.nix;
      work = import ./work.nix rounds;

      # For each host anew, as NixOS's modules are evaluated for each host anew.
      worked = name: system: if rounds == 0 then system else seq (work name) system;
      nixosConfigurations = mapAttrs worked example.nixosConfigurations;

      # A stand-in for deploy-rs' own `lib.activate.nixos`, which is made of nixpkgs and builds deploy-rs on the host: a system
      # with the two programs beside it that deploy-rs starts there. What the second one starts, the benchmark has put there.
      activate = toFile "deploy-rs-activate" ''
        #!/bin/sh
        cd /tmp && exec "$PROFILE/bin/switch-to-configuration" switch
      '';
      activateRs = toFile "activate-rs" ''
        #!/bin/sh
        exec /usr/local/libexec/deploy-rs/activate "$@"
      '';
      activatable =
        system:
        derivation {
          name = "activatable-${system.name}";
          system = "x86_64-linux";
          builder = "/bin/sh";
          args = [
            "-euc"
            ''
              PATH=/usr/bin:/bin
              mkdir "$out"
              ln -s ${system}/* "$out/"
              cp ${activate} "$out/deploy-rs-activate"
              cp ${activateRs} "$out/activate-rs"
              chmod +x "$out/deploy-rs-activate" "$out/activate-rs"
              exit 0
            ''
          ];
          preferLocalBuild = true;
        };
    in
    example
    // {
      inherit nixosConfigurations;

      # Magic rollback and the rollback of a failed activation are on, as they are when nothing is said.
      deploy = {
        sshUser = "root";
        user = "root";
        nodes = listToAttrs (
          map (name: {
            inherit name;
            value = {
              hostname = name;
              profiles.system.path = activatable nixosConfigurations.${name}.config.system.build.toplevel;
            };
          }) hosts.names
        );
      };
    };
}
