# A host that has metrics of its deployments where Prometheus' node exporter reads them from files.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  options = config.deploy-flake.metrics;
in
{
  options.deploy-flake.metrics = {
    enable = lib.mkEnableOption "metrics of the deployments, in a file for Prometheus' node exporter";
    directory = lib.mkOption {
      type = lib.types.str;
      default = "/var/lib/prometheus-node-exporter-text-files";
      description = "The directory that the exporter has as `--collector.textfile.directory`. The file in it is `deploy_flake.prom`.";
    };
  };

  config = lib.mkIf options.enable {
    systemd.services.deploy-flake-metrics = {
      description = "Makes metrics of the deployments for Prometheus' node exporter";
      # At the boot, and whenever a deployment has ended.
      wantedBy = [ "multi-user.target" ];
      unitConfig.RequiresMountsFor = [ "/var/lib/deploy-flake" ];
      # A switch has nothing to do with it.
      restartIfChanged = false;
      stopIfChanged = false;
      serviceConfig = {
        Type = "oneshot";
        # No deployment is refused or rolled back for its metrics: where they cannot be written the journal says so.
        ExecStart = "-${pkgs.runtimeShell} ${./metrics.sh} \"${options.directory}\"";
      };
    };
    systemd.paths.deploy-flake-metrics = {
      description = "Waits for the end of deployments";
      wantedBy = [ "multi-user.target" ];
      pathConfig.PathChanged = "/var/lib/deploy-flake/deployments.jsonl";
    };
  };
}
