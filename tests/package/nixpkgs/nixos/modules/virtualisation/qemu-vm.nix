# Options that only a virtual machine has.
{ lib, ... }:
let
  inherit (lib) types;
  option = default: type: lib.mkOption { inherit default type; };
in
{
  options.virtualisation = {
    additionalPaths = option [ ] (types.listOf types.path);
    cores = option 1 types.int;
    diskSize = option 1024 types.int;
    fileSystems = option { } (types.attrsOf (types.submodule { autoResize = option false types.bool; }));
    memorySize = option 1024 types.int;
    useBootLoader = option false types.bool;
    useEFIBoot = option false types.bool;
    writableStoreUseTmpfs = option true types.bool;
  };
}
