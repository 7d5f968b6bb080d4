# Of nixpkgs' `lib`, what is used.
let
  override = priority: content: {
    _type = "override";
    inherit priority content;
  };
  lib = {
    inherit (builtins) filter;
    genAttrs =
      names: make:
      builtins.listToAttrs (
        map (name: {
          inherit name;
          value = make name;
        }) names
      );
    hasSuffix =
      suffix: text:
      let
        from = builtins.stringLength text - builtins.stringLength suffix;
      in
      from >= 0 && builtins.substring from (-1) text == suffix;
    makeBinPath = paths: builtins.concatStringsSep ":" (map (path: "${path}/bin") paths);
    mapAttrsToList = make: set: map (name: make name set.${name}) (builtins.attrNames set);
    optionalAttrs = condition: set: if condition then set else { };

    licenses.gpl3Plus.spdxId = "GPL-3.0-or-later";
    platforms.unix = [ ];

    mkDefault = override 1000;
    mkForce = override 50;
    mkIf = condition: content: {
      _type = "if";
      inherit condition content;
    };
    mkOption = option: option // { _type = "option"; };
    mkEnableOption =
      description:
      lib.mkOption {
        type = lib.types.bool;
        default = false;
        description = "Whether to enable ${description}.";
      };
    inherit (import ./modules.nix) evalModules types;
  };
in
lib
