# The command, with the collection in it.
{
  git,
  installShellFiles,
  lib,
  openssh,
  python3Packages,
}:
let
  versionLine = builtins.match ".*__version__ = \"([^\"]+)\".*" (builtins.readFile ../deploy_flake/__init__.py);
in
python3Packages.buildPythonApplication {
  pname = "deploy-flake";
  version = builtins.head versionLine;
  pyproject = true;
  src = ../.;

  build-system = [ python3Packages.hatchling ];
  dependencies = [
    python3Packages.ansible-core
    python3Packages.ansible-runner
    python3Packages.rich
  ];
  nativeBuildInputs = [ installShellFiles ];

  # What it starts on the controller. ssh comes last, so that one that the user has set up wins.
  makeWrapperArgs = [
    "--prefix PATH : ${lib.makeBinPath [ python3Packages.ansible-core ]}"
    "--suffix PATH : ${
      lib.makeBinPath [
        git
        openssh
      ]
    }"
  ];

  postInstall = ''
    for shell in bash fish zsh; do
      $out/bin/deploy-flake completion $shell >completion.$shell
    done
    installShellCompletion --cmd deploy-flake --bash completion.bash --fish completion.fish --zsh completion.zsh
  '';
  pythonImportsCheck = [ "deploy_flake.api" ];

  meta = {
    description = "Deploy Nix flakes to NixOS hosts that build, try and keep their new system by themselves, or roll back";
    license = lib.licenses.gpl3Plus;
    mainProgram = "deploy-flake";
    platforms = lib.platforms.unix;
  };
}
