# The module system, so far as it finds what is misspelt or of the wrong type.
let
  show = builtins.concatStringsSep ".";
  kindOf = value: if builtins.isAttrs value then value._type or "" else "";

  # A condition or a priority of a set is that of each of its attributes: so a condition may ask for other options.
  pushDown =
    value:
    if kindOf value == "if" || kindOf value == "override" then
      builtins.mapAttrs (_: content: value // { inherit content; }) (pushDown value.content)
    else
      value;

  # What is defined at one place, with its priority.
  values =
    value:
    if kindOf value == "if" then
      if value.condition then values value.content else [ ]
    else if kindOf value == "override" then
      map (inner: inner // { inherit (value) priority; }) (values value.content)
    else
      [
        {
          priority = 100;
          inherit value;
        }
      ];

  merge =
    type: path: definitions:
    let
      all = builtins.concatMap values definitions;
      first = builtins.foldl' (least: one: if one.priority < least then one.priority else least) 9999 all;
      wanted = map (one: one.value) (builtins.filter (one: one.priority == first) all);
      wrong = builtins.filter (value: !type.check value) wanted;
    in
    if wrong != [ ] then
      throw "A definition for option `${show path}' is not of type `${type.name}'"
    else
      type.merge path wanted;

  # The options of a set, with what modules define there.
  evaluate =
    options: path: definitions:
    let
      sets = map pushDown definitions;
      unknown = builtins.concatMap (set: builtins.attrNames (removeAttrs set (builtins.attrNames options))) sets;
      config = builtins.mapAttrs (
        name: option:
        let
          here = path ++ [ name ];
          defined = builtins.concatMap (set: if set ? ${name} then [ set.${name} ] else [ ]) sets;
        in
        if kindOf option != "option" then
          evaluate option here defined
        else if defined != [ ] && builtins.concatMap values defined != [ ] then
          merge option.type here defined
        else
          option.default or (throw "The option `${show here}' was accessed but has no value defined")
      ) options;
    in
    if unknown == [ ] then
      config
    else
      throw "The option `${show (path ++ [ (builtins.head unknown) ])}' does not exist";

  mergeOptions =
    path: one: other:
    if kindOf one == "option" || kindOf other == "option" then
      throw "The option `${show path}' is already declared"
    else
      one
      // builtins.mapAttrs (
        name: option: if one ? ${name} then mergeOptions (path ++ [ name ]) one.${name} option else option
      ) other;

  # A module and all that it imports.
  collect =
    arguments: given:
    let
      function = if builtins.isPath given || builtins.isString given then import given else given;
      content =
        if builtins.isFunction function then
          function (builtins.intersectAttrs (builtins.functionArgs function) arguments)
        else
          function;
      whole = content ? config || content ? options;
      module = if whole then content else { config = removeAttrs content [ "imports" ]; };
      unknown = removeAttrs module [
        "config"
        "imports"
        "options"
      ];
    in
    if unknown != { } then
      throw "A module has no `${builtins.head (builtins.attrNames unknown)}'"
    else
      [ module ] ++ builtins.concatMap (collect arguments) (content.imports or [ ]);

  evalModules =
    { modules, arguments }:
    let
      all = builtins.concatMap (collect (arguments // { inherit config; })) modules;
      options = builtins.foldl' (mergeOptions [ ]) { } (map (module: module.options or { }) all);
      config = evaluate options [ ] (map (module: module.config or { }) all);
    in
    config;

  # One value, or the same again.
  single = name: check: {
    inherit name check;
    merge =
      path: wanted:
      if builtins.all (value: value == builtins.head wanted) wanted then
        builtins.head wanted
      else
        throw "The option `${show path}' has conflicting definition values";
  };

  types = {
    anything = {
      name = "anything";
      check = _: true;
      merge = _: wanted: if builtins.all builtins.isAttrs wanted then builtins.foldl' (a: b: a // b) { } wanted else builtins.head wanted;
    };
    bool = single "boolean" builtins.isBool;
    int = single "signed integer" builtins.isInt;
    str = single "string" builtins.isString;
    package = single "package" (value: value.type or "" == "derivation");
    path = single "path" (value: builtins.isPath value || builtins.match "/.*" "${value}" != null);
    # Modules, for whoever evaluates them.
    deferredModule = {
      name = "module";
      check = value: builtins.isAttrs value || builtins.isFunction value;
      merge = _: wanted: wanted;
    };
    listOf = type: {
      name = "list of ${type.name}";
      check = builtins.isList;
      merge = path: wanted: map (value: merge type path [ value ]) (builtins.concatLists wanted);
    };
    attrsOf = type: {
      name = "attribute set of ${type.name}";
      check = builtins.isAttrs;
      merge =
        path: wanted:
        let
          sets = map pushDown wanted;
        in
        builtins.mapAttrs (
          name: _: merge type (path ++ [ name ]) (builtins.concatMap (set: if set ? ${name} then [ set.${name} ] else [ ]) sets)
        ) (builtins.foldl' (a: b: a // b) { } sets);
    };
    submodule = options: {
      name = "submodule";
      check = builtins.isAttrs;
      merge = evaluate options;
    };
  };
in
{
  inherit evalModules types;
}
