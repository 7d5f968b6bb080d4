# As much of nixpkgs as deploy-flake's own flake uses: shapes to evaluate, nothing that could be built for real.
{
  outputs =
    { self }:
    let
      lib = {
        genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
        makeBinPath = paths: builtins.concatStringsSep ":" (map (path: "${path}/bin") paths);
        licenses.gpl3Plus.spdxId = "GPL-3.0-or-later";
        platforms.unix = [ ];
        mkEnableOption = description: lib.mkOption { default = false; type = "bool"; inherit description; };
        mkOption = option: { _type = "option"; } // option;
        mkIf = condition: content: if condition then content else { };
        types = { bool = "bool"; str = "str"; listOf = of: "list of ${of}"; };
      };
      packagesFor =
        system:
        let
          stub = name: derivation {
            inherit name system;
            builder = "/bin/sh";
            args = [ "-c" "echo >$out" ];
          };
          python3Packages = {
            ansible-core = stub "ansible-core";
            ansible-runner = stub "ansible-runner";
            hatchling = stub "hatchling";
            rich = stub "rich";
            buildPythonApplication =
              given:
              derivation (
                (removeAttrs given [ "meta" ])
                // {
                  name = "${given.pname}-${given.version}";
                  inherit system;
                  builder = "/bin/sh";
                }
              )
              // { inherit (given) meta; };
          };
          pkgs = {
            inherit lib python3Packages system;
            git = stub "git";
            gnumake = stub "gnumake";
            installShellFiles = stub "installShellFiles";
            openssh = stub "openssh";
            shellcheck = stub "shellcheck";
            python3.withPackages = choose: builtins.head (choose python3Packages);
            mkShell = given: derivation { name = "shell"; inherit system; builder = "/bin/sh"; inherit (given) packages; };
            callPackage =
              file: given:
              let
                function = import file;
                wanted = builtins.functionArgs function;
              in
              function (builtins.intersectAttrs wanted pkgs // given);
          };
        in
        pkgs;
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ] packagesFor;
    };
}
