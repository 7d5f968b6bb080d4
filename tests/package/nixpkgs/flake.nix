# As much of nixpkgs as deploy-flake's own flake uses: shapes to evaluate, nothing that could be built for real. What is
# not here, or of another type, fails as it does in nixpkgs: a misspelt option, package, function of `lib`. It is written
# from nixpkgs' documentation, and knows of it only what is used: that an option is here does not prove that nixpkgs has it.
{
  outputs =
    { self }:
    let
      lib = import ./lib.nix // {
        nixosSystem =
          { modules }:
          import ./nixos.nix {
            inherit lib modules;
            packages = self.legacyPackages;
          };
      };
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "x86_64-darwin"
        "aarch64-darwin"
      ];
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs systems (system: import ./pkgs.nix { inherit lib system; });
    };
}
