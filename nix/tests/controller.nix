# The machine that deploys: the command, and a key that the targets know.
{ deploy-flake, pkgs }:
let
  keys = import (pkgs.path + "/nixos/tests/ssh-keys.nix") pkgs;
in
{
  key = keys.snakeOilPublicKey;

  node.environment.systemPackages = [ deploy-flake ];

  # Python, for the test script: keys as a person has them, and what the command says for programs.
  script = targets: ''
    import json
    from typing import Any

    controller.wait_for_unit("multi-user.target")
    controller.succeed(
        "install -D --mode=600 ${keys.snakeOilPrivateKey} /root/.ssh/id_ecdsa",
    )
    for name in ${builtins.toJSON targets}:
        # ssh-keyscan exits with 0 even if nobody answers.
        controller.wait_until_succeeds(f"ssh-keyscan {name} | grep ed25519 >>/root/.ssh/known_hosts")


    def deploy_flake(arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
        """The exit code of the command, and what it says of each host."""
        code, said = controller.execute(f"deploy-flake {arguments} --yes --instrumentation json", timeout=1800)
        controller.log(said)
        events = [json.loads(line) for line in said.splitlines()]
        return code, {event["host"]: event for event in events if event["event"] == "result"}


    def on(host: str, command: str) -> str:
        return controller.succeed(f"ssh deploy@{host} {command}").strip()
  '';
}
