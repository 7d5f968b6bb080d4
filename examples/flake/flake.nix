{
  description = "Hosts shaped like NixOS, built from plain derivations";

  outputs =
    { self }:
    let
      hosts = import ./hosts.nix;
      faults = import ./faults.nix;
      buildSystem = import ./system.nix;

      host =
        name: change:
        let
          configuration = import ./configuration.nix {
            hostName = name;
            inherit (hosts) version;
            revision = self.rev or self.dirtyRev or null;
          };
        in
        buildSystem (configuration // change configuration);

      faultsOf =
        name:
        map (fault: {
          name = "${name}-${fault}";
          value = host name (c: { specialisation = { }; } // faults.${fault} c);
        }) (builtins.attrNames faults);

      unchanged = name: {
        inherit name;
        value = host name (_: { });
      };
    in
    {
      nixosConfigurations =
        builtins.listToAttrs (map unchanged hosts.names ++ builtins.concatMap faultsOf hosts.names)
        // {
          # What a host runs before its first deploy: no host name yet, and a service that the deploy takes away.
          initial = host "" (c: {
            extraHosts = hosts.names;
            units = c.units // {
              "welcome.service" = builtins.readFile ./welcome.service;
            };
            wants = c.wants // {
              "multi-user.target" = c.wants."multi-user.target" ++ [ "welcome.service" ];
            };
          });
        };
    };
}
