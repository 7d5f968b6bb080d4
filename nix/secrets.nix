# A host on which secrets below /run, which deploy-flake has put there, are there again after a reboot.
{
  config,
  lib,
  pkgs,
  ...
}:
{
  options.deploy-flake.secrets.enable = lib.mkEnableOption "putting the secrets below /run that were deployed in their places again at each boot, from a copy in /var/lib/deploy-flake that root alone can read";

  config = lib.mkIf config.deploy-flake.secrets.enable {
    systemd.services.deploy-flake-secrets = {
      description = "Puts the secrets of deploy-flake in their places";
      # Before all that may read them, and after the users are there who own them.
      wantedBy = [ "sysinit.target" ];
      before = [ "sysinit.target" ];
      after = [
        "local-fs.target"
        "systemd-sysusers.service"
        "userborn.service"
      ];
      unitConfig = {
        DefaultDependencies = false;
        RequiresMountsFor = [ "/var/lib/deploy-flake" ];
      };
      # It is for the boot; after that, deployments put them there.
      restartIfChanged = false;
      stopIfChanged = false;
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${pkgs.runtimeShell} ${./secrets.sh}";
      };
    };
  };
}
