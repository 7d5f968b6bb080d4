# What a login user may start as root in place of every shell: the commands of this collection, as docs/become.md says.
{ python3, runCommand }:
runCommand "deploy-flake-host" { } ''
  PYTHONPATH=${../plugins/plugin_utils} ${python3}/bin/python3 -m _host.helper $out
''
