# What a flake says of its hosts, in the words of the tool that each output is for. Nothing is built, and no secret is read.
#
# variables: names of variables, each with an attribute path in a configuration's `config`, as a list of names.
variables: flake:
let
  inherit (builtins)
    attrNames
    concatMap
    deepSeq
    foldl'
    isAttrs
    isFunction
    isList
    isPath
    isString
    listToAttrs
    mapAttrs
    tryEval
    unsafeDiscardStringContext
    ;

  # As JSON can have it, without a build and without a copy in the store; null for what is nothing of that kind.
  plain =
    value:
    if isString value then
      unsafeDiscardStringContext value
    else if isPath value then
      toString value
    else if isList value then
      map plain value
    else if isFunction value then
      null
    else if isAttrs value then
      if value ? outPath then plain "${value.outPath}" else mapAttrs (_: plain) value
    else
      value;

  # null for what throws, as a configuration does whose assertions fail: the others are told all the same.
  told =
    value:
    let
      found = plain value;
      tried = tryEval (deepSeq found found);
    in
    if tried.success then tried.value else null;

  pick =
    names: set:
    listToAttrs (
      concatMap (
        name:
        if set ? ${name} then
          [
            {
              inherit name;
              value = set.${name};
            }
          ]
        else
          [ ]
      ) names
    );

  at = path: set: foldl' (found: name: if isAttrs found then found.${name} or null else null) set path;

  # deploy-rs: `deploy.nodes`.
  ofDeploy = pick [
    "sshUser"
    "sshOpts"
  ];
  deployNode =
    node:
    told (
      pick [ "hostname" ] node
      // ofDeploy node
      // {
        profile = ofDeploy (node.profiles.system or { });
      }
    );

  # colmena: `colmenaHive`, or what its own flake would make of `colmena`.
  hive =
    if flake ? colmenaHive then
      flake.colmenaHive
    else if flake ? colmena && flake.inputs ? colmena.lib.makeHive then
      flake.inputs.colmena.lib.makeHive flake.colmena
    else
      null;
  hiveNode =
    node:
    told (
      pick [
        "targetHost"
        "targetPort"
        "targetUser"
        "tags"
        "sshOptions"
      ] node.config.deployment
    );
in
{
  nixosConfigurations = mapAttrs (
    _: configuration: told (mapAttrs (_: path: at path configuration.config) variables)
  ) (flake.nixosConfigurations or { });

  deploy =
    if flake ? deploy.nodes then
      told (ofDeploy flake.deploy) // { nodes = mapAttrs (_: deployNode) flake.deploy.nodes; }
    else
      null;

  colmena =
    if hive != null then
      {
        allowApplyAll = told (hive.metaConfig.allowApplyAll or true);
        output = if flake ? colmenaHive then "colmenaHive" else "";
        nodes = mapAttrs (_: hiveNode) hive.nodes;
      }
    else if flake ? colmena then
      { nodes = null; }
    else
      null;
}
