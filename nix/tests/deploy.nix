# A controller and two targets, which evaluate nixpkgs and build their systems by themselves: as any flake with
# `nixosConfigurations` is deployed.
{
  deploy-flake,
  nixpkgs,
  pkgs,
  self,
}:
let
  controller = import ./controller.nix { inherit deploy-flake pkgs; };
  names = [
    "target1"
    "target2"
  ];

  flake = pkgs.writeText "flake.nix" ''
    {
      inputs.nixpkgs.url = "path:${nixpkgs}";
      inputs.deploy-flake.url = "path:${self}";
      inputs.deploy-flake.inputs.nixpkgs.follows = "nixpkgs";
      outputs =
        { deploy-flake, nixpkgs, ... }:
        {
          nixosConfigurations = import ./systems.nix {
            inherit nixpkgs;
            module = deploy-flake.nixosModules.default;
            change = ./change.nix;
            given = builtins.fromJSON (builtins.readFile ./given.json);
          };
        };
    }
  '';

  # What only the test knows of its machines: how to log in, and their network.
  givenOf = nodes: {
    inherit (pkgs.stdenv.hostPlatform) system;
    inherit (controller) key;
    networks = pkgs.lib.genAttrs names (name: nodes.${name}.system.build.networkConfig);
  };

  # The same systems as in the virtual machines, built before: there is no network to fetch anything that a build needs.
  # Should they differ after all, the target's log names what it wants to build.
  built =
    nodes: change:
    pkgs.lib.mapAttrsToList (_: host: host.config.system.build.toplevel) (
      import ./flake/systems.nix {
        inherit nixpkgs change;
        module = self.nixosModules.default;
        given = builtins.fromJSON (builtins.toJSON (givenOf nodes));
      }
    );

  target =
    { nodes, ... }:
    {
      imports = [
        (import ./flake/target.nix controller.key)
        self.nixosModules.default
      ];
      virtualisation.additionalPaths = [
        "${nixpkgs}"
        "${self}"
        pkgs.stdenvNoCC
      ]
      ++ built nodes ./flake/version.nix
      ++ built nodes ./flake/locked-out.nix;
    };
in
{
  name = "deploy-flake-deploy";

  nodes = {
    controller = {
      imports = [ controller.node ];
      # It locks the flake, as a person does with Nix.
      nix.settings.experimental-features = [
        "nix-command"
        "flakes"
      ];
      virtualisation.memorySize = 2048;
      virtualisation.additionalPaths = [
        "${nixpkgs}"
        "${self}"
      ];
    };
    target1 = target;
    target2 = target;
  };

  testScript =
    { nodes, ... }:
    ''
      start_all()
      for machine in [target1, target2]:
          machine.wait_for_unit("sshd.service")
          # There is no boot loader here, and so nobody has made the profile.
          machine.succeed("nix-env --profile /nix/var/nix/profiles/system --set $(readlink -f /run/current-system)")

      ${controller.script names}

      def everywhere(more: str = "") -> tuple[int, set[str]]:
          code, said = deploy_flake(f"deploy deploy@target1 deploy@target2 --flake path:/root/hosts {more}")
          assert said.keys() == {"target1", "target2"}
          return code, {event["outcome"] for event in said.values()}


      def look(path: str) -> list[str]:
          return [on(name, f"readlink -f {path}") for name in ["target1", "target2"]]


      controller.succeed(
          "mkdir /root/hosts",
          "cp ${./flake}/* /root/hosts",
          "cp ${flake} /root/hosts/flake.nix",
          "cp ${pkgs.writeText "given.json" (builtins.toJSON (givenOf nodes))} /root/hosts/given.json",
          "cp ${./flake/version.nix} /root/hosts/change.nix",
          "nix flake lock --offline path:/root/hosts",
      )
      first = look("/run/current-system")

      with subtest("Both targets build their systems and keep them"):
          assert everywhere() == (0, {"deployed"})
          second = look("/run/current-system")
          assert set(first).isdisjoint(second)
          assert look("/nix/var/nix/profiles/system") == second
          assert on("target1", "cat /etc/deployed") == "1"

      with subtest("Deployed again, nothing changes"):
          assert everywhere() == (0, {"unchanged"})

      with subtest("A firewall that lets nobody in is rolled back"):
          controller.succeed("cp ${./flake/locked-out.nix} /root/hosts/change.nix")
          assert everywhere("--time-limit confirm=30") == (4, {"rolled-back"})
          assert look("/run/current-system") == second
          assert look("/nix/var/nix/profiles/system") == second
          assert on("target1", "cat /etc/deployed") == "1"
    '';
}
