# The packages that are used, for one system.
{ lib, system }:
let
  stub =
    name:
    derivation {
      inherit name system;
      builder = "/bin/sh";
      args = [
        "-c"
        "echo >$out"
      ];
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
      // {
        inherit (given) meta;
      };
  };
  pkgs = {
    inherit lib python3Packages;
    path = ./.;
    stdenv.hostPlatform = {
      inherit system;
      isx86_64 = builtins.substring 0 6 system == "x86_64";
    };
    git = stub "git";
    gnumake = stub "gnumake";
    installShellFiles = stub "installShellFiles";
    nixfmt-tree = stub "nixfmt-tree";
    openssh = stub "openssh";
    runtimeShell = "/bin/sh";
    shellcheck = stub "shellcheck";
    stdenvNoCC = stub "stdenv";
    testers = import ./testers.nix { inherit lib pkgs; };
    python3 = stub "python3" // {
      withPackages = choose: builtins.head (choose python3Packages);
    };
    runCommand =
      name: given: script:
      derivation (
        given
        // {
          inherit name script system;
          builder = "/bin/sh";
        }
      );
    mkShell =
      given:
      derivation {
        name = "shell";
        inherit system;
        builder = "/bin/sh";
        inherit (given) packages;
      };
    writeText = builtins.toFile;
    callPackage =
      file: given:
      let
        function = import file;
        wanted = builtins.functionArgs function;
      in
      function (builtins.intersectAttrs wanted pkgs // given);
  };
in
pkgs
