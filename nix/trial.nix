# A host on which a system that is booted once, to see whether it comes up, rolls back by itself if nobody can reach it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  options = config.deploy-flake.trial;
in
{
  options.deploy-flake.trial = {
    enable = lib.mkEnableOption "rebooting by itself into the boot default when a trial boot was not confirmed in time";
    panicTimeout = lib.mkOption {
      type = lib.types.int;
      default = 60;
      description = "After how many seconds a kernel that has panicked reboots, into the boot default. 0 for never.";
    };
  };

  config = lib.mkIf options.enable {
    boot.kernelParams = [ "panic=${toString options.panicTimeout}" ];
    systemd.services.deploy-flake-trial = {
      description = "Rolls back to the boot default if a trial boot is not confirmed";
      # Early, so that a system which does not come up as a whole rolls back too.
      wantedBy = [ "sysinit.target" ];
      after = [ "local-fs.target" ];
      unitConfig = {
        DefaultDependencies = false;
        ConditionPathExists = "/var/lib/deploy-flake/trial.json";
        RequiresMountsFor = [ "/var/lib/deploy-flake" ];
        IgnoreOnIsolate = true;
        StartLimitIntervalSec = 0;
      };
      # A switch leaves it alone.
      restartIfChanged = false;
      stopIfChanged = false;
      serviceConfig = {
        ExecStart = "${pkgs.runtimeShell} ${./trial.sh}";
        Restart = "on-failure";
        RestartSec = 1;
        OOMScoreAdjust = -900;
      };
    };
  };
}
