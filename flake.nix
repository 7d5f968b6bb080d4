# deploy-flake as a flake: `nix run .#deploy-flake -- host1`, or as an input of the flake that is deployed.
# There is no lock file here: whoever uses it has its nixpkgs follow their own.
{
  description = "Deploy Nix flakes to NixOS hosts that build, try and keep their new system by themselves, or roll back";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
      each = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
    in
    {
      packages = each (
        pkgs:
        let
          inherit (self.overlays.default pkgs pkgs) deploy-flake;
        in
        {
          inherit deploy-flake;
          default = deploy-flake;
        }
      );

      apps = each (
        pkgs:
        let
          app = {
            type = "app";
            program = "${self.packages.${pkgs.stdenv.hostPlatform.system}.deploy-flake}/bin/deploy-flake";
            meta.description = "Deploy Nix flakes to NixOS hosts";
          };
        in
        {
          deploy-flake = app;
          default = app;
        }
      );

      devShells = each (pkgs: {
        default = pkgs.mkShell {
          packages = [
            (pkgs.python3.withPackages (python: [
              python.ansible-core
              python.ansible-runner
              python.hatchling
              python.rich
            ]))
            pkgs.git
            pkgs.gnumake
            pkgs.shellcheck
          ];
        };
      });

      nixosModules.default = import ./nix/module.nix;

      overlays.default = final: _: { deploy-flake = final.callPackage ./nix/package.nix { }; };

      formatter = each (pkgs: pkgs.nixfmt-tree);

      # Virtual machines, which want KVM: docs/development.md says how to run them.
      checks = nixpkgs.lib.genAttrs (nixpkgs.lib.filter (nixpkgs.lib.hasSuffix "-linux") systems) (
        system:
        let
          inherit (self.packages.${system}) deploy-flake;
        in
        { package = deploy-flake; }
        // import ./nix/tests {
          inherit deploy-flake nixpkgs self;
          pkgs = nixpkgs.legacyPackages.${system};
        }
      );
    };
}
